import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek
from converters import saved_model
from converters.saved_model import save_for_conversion

X = np.random.default_rng(0).normal(size=(16, 6, 6, 2)).astype("float32")


def net():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SeparableConv2D(3, 3),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def nodes_of(folder) -> list:
    """The ops in a saved model's graph and its functions."""
    content = (folder / "saved_model.pb").read_bytes()
    graph = saved_model_pb(content).meta_graphs[0].graph_def
    return [*graph.node, *(node for f in graph.library.function for node in f.node_def)]


def ops_of(folder) -> list[str]:
    """Kinds of the ops in a saved model's graph and its functions."""
    return [node.op for node in nodes_of(folder)]


def roundings_of(folder) -> set[str]:
    """Names of the ops that round; the file's tensors have them."""
    return {node.name for node in nodes_of(folder) if node.op.startswith("FakeQuant")}


def saved_model_pb(content: bytes):
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString(content)


def test_what_a_quantization_aware_model_computes_from_its_weights_is_no_part_of_the_graph(
    tmp_path,
):
    qat = ek.quantize_aware(net())
    qat(X, training=True)
    save_for_conversion(qat, tmp_path)
    found = ops_of(tmp_path)
    assert found.count("FakeQuantWithMinMaxVars") >= 4  # the activations
    assert not {"Round", "Rsqrt", "Max"} & set(found)  # kernels are folded and rounded already
    assert not {"VarHandleOp", "ReadVariableOp"} & set(found)


@pytest.mark.parametrize("aware", [False, True])
def test_many_weights_are_saved_as_variables_and_the_file_computes_the_same(
    aware, monkeypatch, tmp_path
):
    model = net()
    if aware:
        model = ek.quantize_aware(model)
        model(X, training=True)
    outputs = []
    for name, limit in (("few", 10**9), ("many", 0)):
        monkeypatch.setattr(saved_model, "_MOST_CONSTANT_BYTES", limit)
        monkeypatch.setattr(saved_model, "_LARGE_CONSTANT_BYTES", 60)  # of some
        save_for_conversion(model, tmp_path / name)
        assert ("VarHandleOp" in ops_of(tmp_path / name)) == (limit == 0)
        serve = tf.saved_model.load(tmp_path / name).signatures["serving_default"]
        (input_name,) = serve.structured_input_signature[1]
        outputs.append(serve(**{input_name: tf.constant(X[:1])})["output_0"].numpy())
        # Also then kernels are folded and rounded already.
        assert not aware or not {"Round", "Rsqrt", "Max"} & set(ops_of(tmp_path / name))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)
    np.testing.assert_allclose(outputs[0], model(X[:1]), atol=1e-6)
    assert roundings_of(tmp_path / "few") == roundings_of(tmp_path / "many")
