"""Files with several signatures in integers: each on its own ranges, shared weights once."""

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import edgekit as ek
from converters import Flatbuffer
from converters.calibration.signatures import (
    MissingSamplesError,
    OutputsOf,
    SameAs,
    calls_of,
    samples_by_signature,
)
from converters.reader import read_model, read_models
from tests.converters.lite_files import signatures_file

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(8, 8)).astype("float32") / 3
ROW = tf.TensorSpec([1, 8], name="x")


@pytest.fixture(scope="module")
def parts():
    """An encoder whose codes lie between 0 and 30, and a decoder of them."""
    keras.utils.set_random_seed(0)
    wide = keras.initializers.RandomNormal(stddev=0.6)
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, strides=2, activation="relu", kernel_initializer=wide),
            layers.Flatten(),
            layers.Dense(16, activation="relu", kernel_initializer=wide),
        ]
    )
    decoder = keras.Sequential(
        [keras.Input((16,)), layers.Dense(32, activation="relu"), layers.Dense(4)]
    )
    return encoder, decoder


@pytest.fixture(scope="module")
def samples(parts):
    images = RNG.normal(size=(64, 8, 8, 3)).astype("float32")
    return {
        "encode": {"image": images},
        "decode": {"code": np.asarray(parts[0](images))},
        "full": {"image": images},
    }


@pytest.fixture(scope="module")
def three(parts, tmp_path_factory):
    """`decode`, of the first subgraph, `encode`, and `full`, which reads the weights of both."""
    encoder, decoder = parts
    held = [variable.value for part in parts for variable in part.variables]
    image = [tf.TensorSpec([1, 8, 8, 3], name="image")]
    code = [tf.TensorSpec([1, 16], name="code")]
    folder = tmp_path_factory.mktemp("three")
    return signatures_file(
        folder,
        held,
        encode=(lambda image: {"code": encoder(image)}, image),
        decode=(lambda code: {"y": decoder(code)}, code),
        full=(lambda image: {"y": decoder(encoder(image))}, image),
    )


@pytest.fixture(scope="module")
def eight_bits(three, samples):
    return ek.convert(three, ["int8", "dynamic"], calibration=samples)


def decibel(right: np.ndarray, values: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(right**2) / np.mean((right - values) ** 2)))


def by_hand(content: bytes, key: str, given: dict, output: str) -> np.ndarray:
    """A signature's outputs as LiteRT's own signature runner gives them, quantized by hand."""
    interpreter = Interpreter(model_content=content)
    runner = interpreter.get_signature_runner(key)
    (name,) = given
    found = []
    for side in (runner.get_input_details()[name], runner.get_output_details()[output]):
        assert side["dtype"] == np.int8
        found.append(side["quantization"])
    (scale, zero), (scale_out, zero_out) = found
    rows = []
    for row in given[name]:
        stored = np.clip(np.round(row[None] / scale) + zero, -128, 127).astype("int8")
        rows.append(runner(**{name: stored})[output].astype("float32"))
    return (np.concatenate(rows) - zero_out) * scale_out


def test_every_signature_computes_in_integers_what_keras_computes(eight_bits, parts, samples):
    encoder, decoder = parts
    file = eight_bits["int8"]
    report = ek.inspect(file)
    assert report.op_dtypes.keys() == {"int8"}
    assert report.float_islands == []
    images, codes = samples["encode"]["image"], samples["decode"]["code"]
    right = {
        "encode": ("code", encoder(images)),
        "decode": ("y", decoder(codes)),
        "full": ("y", decoder(encoder(images))),
    }
    for key, (output, values) in right.items():
        found = by_hand(file.content, key, samples[key], output)
        assert decibel(np.asarray(values), found) > 28
        np.testing.assert_allclose(file.predict(samples[key], signature=key), found, atol=1e-6)
        check = file.check if key == "decode" else file.check.signatures[key]
        assert check.worst[1] > 28


def test_weights_that_signatures_share_are_stored_once(eight_bits):
    for name, dtype in (("int8", "int8"), ("dynamic", "int8")):
        models = read_models(eight_bits[name].content)
        kernels = {
            model.signature.key: {
                t.buffer
                for op in model.ops
                for t in op.input_tensors
                if t.constant and t.dtype == dtype and t.size >= 1024 // 2
            }
            for model in models
        }
        assert kernels["full"] == kernels["encode"] | kernels["decode"]
    assert eight_bits["int8"].check.signatures.keys() == {"encode", "full"}


def test_a_signature_may_stay_float32_and_is_named(three, samples):
    said = "signature 'full' stayed float32: as `calibration` has None for it"
    with pytest.warns(UserWarning, match=f"^int8: {said}$"):
        file = ek.convert(three, "int8", calibration={**samples, "full": None})["int8"]
    assert said in file.check.notes
    islands = ek.inspect(file).float_islands
    assert {op.subgraph for op in islands} == {read_model(file.content, "full").subgraph}
    assert sorted(op.name for op in islands if op.macs) == ["CONV_2D"] + ["FULLY_CONNECTED"] * 3
    assert {op.index for op in ek.inspect(file).unsupported("ethos-u")} == {
        i.index for i in islands
    }
    assert {op.dtype for op in ek.inspect(file, "encode").ops} == {"int8"}
    images = samples["full"]["image"][:4]
    right = three.predict(images, signature="full")
    np.testing.assert_allclose(file.predict(images, signature="full"), right, atol=1e-5)


def test_samples_by_input_name_and_for_the_same_inputs(three, samples):
    signatures = {m.signature.key: calls_of(m) for m in read_models(three.content)}
    assert list(signatures) == ["decode", "encode", "full"]
    both = {**samples["encode"], **samples["decode"]}
    assert samples_by_signature(both, signatures) == dict.fromkeys(signatures, both)
    two = {"encode": signatures["encode"], "full": signatures["full"]}
    images = samples["encode"]["image"]
    assert samples_by_signature(images, two) == {
        "encode": images,
        "full": SameAs("encode"),
    }
    assert samples_by_signature({"full": images}, two)["encode"] == SameAs("full")


def test_a_decoder_is_calibrated_with_what_its_encoder_gives(three, samples):
    images = samples["encode"]["image"]
    signatures = {m.signature.key: calls_of(m) for m in read_models(three.content)}
    found = samples_by_signature({"full": images}, signatures)
    assert (found["encode"], found["decode"]) == (SameAs("full"), OutputsOf("encode"))
    file = ek.convert(three, "int8", calibration={"encode": images})["int8"]
    assert "signature 'decode' was calibrated with what 'encode' gives as code" in file.check.notes
    by_hand = ek.convert(three, "int8", calibration=samples)["int8"]
    edge, other = (ek.inspect(each, "decode").inputs[0] for each in (file, by_hand))
    assert edge.scale == pytest.approx(other.scale, rel=1e-4)
    assert edge.zero_point == other.zero_point


def test_samples_in_an_npz_file_of_input_names(three, samples, tmp_path):
    both = {**samples["encode"], **samples["decode"]}
    np.savez(tmp_path / "x.npz", **both)
    file = ek.convert(three, "int8", calibration=tmp_path / "x.npz")["int8"]
    assert ek.inspect(file).float_islands == []


def test_a_signature_without_samples_is_named_with_the_way_out(three, samples):
    with pytest.raises(
        MissingSamplesError,
        match=r"no samples for signatures 'encode', 'full': pass a dict by signature, {'decode': "
        r"samples, .* None in place of .* 'encode' takes image \(samples, 8, 8, 3\)",
    ):
        ek.convert(three, "int8", calibration=samples["decode"]["code"])
    with pytest.raises(MissingSamplesError, match="no samples for signature 'encode'"):
        ek.convert(three, "int8", calibration={"decode": samples["decode"], "full": None})
    with pytest.raises(ValueError, match="names 'ful' beside signatures: the file has 'decode'"):
        ek.convert(three, "int8", calibration={"decode": 1, "encode": 1, "ful": 1})
    with pytest.raises(ValueError, match="leaves every signature in float32"):
        ek.convert(three, "int8", calibration=dict.fromkeys(samples))
    with pytest.raises(
        ValueError, match=r"signature 'decode': `calibration` for input 'code' must"
    ):
        ek.convert(three, "int8", calibration={**samples, "decode": np.ones((4, 3))})


def test_variables_that_signatures_share_keep_their_state(tmp_path):
    """`push` fills a state that `ask` reads: it is float, named, and calibrated as it is filled."""
    state = tf.Variable(tf.zeros([1, 8]))

    def push(x):
        state.assign(0.5 * state + tf.nn.relu(x @ KERNEL))
        return {"z": state + 0.0}

    def ask(x):
        return {"y": (x + state) @ KERNEL}

    file = signatures_file(tmp_path, [state], push=(push, [ROW]), ask=(ask, [ROW]))
    x = {key: RNG.normal(size=(32, 8)).astype("float32") for key in ("push", "ask")}
    with pytest.warns(UserWarning, match="stayed float: .*ASSIGN_VARIABLE"):
        small = ek.convert(file, "int8", calibration=x)["int8"]
    islands = {op.name for op in ek.inspect(small).float_islands}
    assert islands == {"READ_VARIABLE", "ASSIGN_VARIABLE"}
    interpreter = Interpreter(model_content=small.content)
    runners = {key: interpreter.get_signature_runner(key) for key in x}
    grids = {
        key: (
            next(iter(r.get_input_details().values()))["quantization"],
            next(iter(r.get_output_details().values()))["quantization"],
        )
        for key, r in runners.items()
    }
    kept, right, found = np.zeros((1, 8)), [], []
    for pushed, asked in zip(x["push"], x["ask"], strict=True):
        for key, row in (("push", pushed), ("ask", asked)):
            (scale, zero), (scale_out, zero_out) = grids[key]
            stored = np.clip(np.round(row[None] / scale) + zero, -128, 127).astype("int8")
            (answer,) = runners[key](x=stored).values()
        found.append((answer.astype("float32") - zero_out) * scale_out)
        kept = 0.5 * kept + np.maximum(pushed[None] @ KERNEL, 0)
        right.append((asked[None] + kept) @ KERNEL)
    assert decibel(np.array(right), np.array(found)) > 25


def test_a_loop_stays_float_within_a_signature_in_integers(tmp_path):
    def loop(x, n):
        y, i = x @ KERNEL, tf.constant(0)
        while i < n:
            y, i = tf.nn.relu(y @ KERNEL), i + 1
        return {"z": y @ KERNEL}

    file = signatures_file(
        tmp_path,
        loop=(loop, [ROW, tf.TensorSpec([], tf.int32, name="n")]),
        plain=(lambda x: {"y": tf.nn.relu(x @ KERNEL) @ KERNEL}, [ROW]),
    )
    x = RNG.normal(size=(32, 8)).astype("float32")
    given = {"loop": {"x": x, "n": np.int32(3)}, "plain": x}
    with pytest.warns(UserWarning, match=r"these ops stayed float: FULLY_CONNECTED \(float32\)$"):
        small = ek.convert(file, "int8", calibration=given)["int8"]
    (island,) = ek.inspect(small).float_islands
    assert island.subgraph not in {0, 1}
    y = x @ KERNEL
    for _ in range(3):
        y = np.maximum(y @ KERNEL, 0)
    assert decibel(y @ KERNEL, small.predict(given["loop"], signature="loop")) > 25
    right = np.maximum(x @ KERNEL, 0) @ KERNEL
    assert decibel(right, small.predict(x, signature="plain")) > 30


def test_a_signature_without_inputs_or_floats_needs_no_samples(tmp_path):
    """`clear` takes nothing, and comes after the others; `count` and `text` compute no floats."""
    state = tf.Variable(tf.zeros([1, 8]))

    def push(x):
        state.assign(0.5 * state + x)
        return {"z": tf.nn.relu(state @ KERNEL)}

    def clear():
        state.assign(tf.zeros([1, 8]))
        return {"done": tf.zeros([1])}

    numbers = [tf.TensorSpec([1, 4], tf.int32, name="i")]
    file = signatures_file(
        tmp_path,
        [state],
        clear=(clear, []),
        count=(lambda i: {"n": i + 1}, numbers),
        text=(lambda s: {"t": s}, [tf.TensorSpec([1], tf.string, name="s")]),
        push=(push, [ROW]),
    )
    x = RNG.normal(size=(32, 8)).astype("float32")
    small = ek.convert(file, "int8", calibration=x)["int8"]
    assert not any("stayed float32" in note for note in small.check.notes)
    assert small.check.signatures["push"].worst[1] > 30
    assert small.predict(np.ones((1, 4), "int32"), signature="count").tolist() == [[2] * 4]


def test_two_signatures_of_one_subgraph_have_the_ranges_of_both(tmp_path):
    one = signatures_file(tmp_path, a=(lambda x: {"y": x @ KERNEL}, [ROW]))
    model = schema.ModelT.InitFromPackedBuf(one.content, 0)
    alias = schema.ModelT.InitFromPackedBuf(one.content, 0).signatureDefs[0]
    alias.signatureKey = "b"
    model.signatureDefs.append(alias)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    x = RNG.normal(size=(32, 8)).astype("float32")
    given = {"a": x, "b": 5 * x}
    small = ek.convert(Flatbuffer(bytes(builder.Output())), "int8", calibration=given)["int8"]
    assert small.signatures == ["a", "b"]
    for key in given:
        assert ek.inspect(small, key).inputs[0].scale == pytest.approx(5 * np.ptp(x) / 255)
        assert decibel(5 * x @ KERNEL, small.predict(5 * x, signature=key)) > 35


def test_sensitivity_is_of_one_signature_wherever_it_is(three, samples):
    with pytest.raises(ValueError, match=r"several signatures, 'decode', .*\.only\('decode'\)"):
        ek.sensitivity(three, samples["decode"]["code"])
    model = schema.ModelT.InitFromPackedBuf(three.content, 0)
    model.signatureDefs = [s for s in model.signatureDefs if s.subgraphIndex == 2]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    last = Flatbuffer(bytes(builder.Output()))
    assert read_model(last.content).subgraph == 2
    found = ek.sensitivity(last, samples["full"]["image"], bits=8)
    assert [op.op for op in sorted(found.ops, key=lambda op: op.index)] == [
        op.name for op in read_model(three.content, "full").ops
    ]


def test_the_default_signature_may_be_of_a_later_subgraph(tmp_path):
    file = signatures_file(
        tmp_path,
        a=(lambda x: {"y": x @ KERNEL}, [ROW]),
        serving_default=(lambda x: {"y": tf.nn.relu(x @ KERNEL * 4)}, [ROW]),
    )
    assert read_model(file.content).subgraph == 1
    x = RNG.normal(size=(32, 8)).astype("float32")
    small = ek.convert(file, "int8", calibration=x)["int8"]
    assert any("'a' was calibrated with the samples of 'serving_d" in n for n in small.check.notes)
    assert decibel(np.maximum(x @ KERNEL * 4, 0), small.predict(x)) > 35
    assert decibel(x @ KERNEL, small.predict(x, signature="a")) > 35
