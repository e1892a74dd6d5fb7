"""What Keras says is what LiteRT computes: each pattern, op dtypes asserted, values compared."""

import keras
import numpy as np
import pytest

import edgekit as ek
from tests.edgekit.quantization import patterns

# One step of a tensor inside is several steps of the output here: its grid is finer, or several
# ops lie between.
STEPS = {
    "conv_tanh": 4,
    "layer_norm": 4,
    "layer_norm_1d": 2,
    "prelu": 2,
    "relu_alone": 2,
    "transformer": 4,
}
# Unrolled loops take the converter long.
RECURRENT = {"lstm", "gru", "gru_reset_before", "simple_rnn", "bidirectional", "bidirectional_sum"}


def compare(image=(), sequence=(), ids=(), scheme="int8", kernels="reference"):
    """`({pattern: (Keras output, LiteRT output, output step)}, what the file computes)`."""
    keras.utils.set_random_seed(0)
    model = patterns.model_of(image, sequence, ids)
    if "half_zero" in dict(image):  # as pruning leaves it; biases must not overflow
        kernel, bias = model.get_layer("half_zero").get_weights()
        kernel[..., ::2] = 0
        model.get_layer("half_zero").set_weights([kernel, bias])
    qat = ek.quantize_aware(model, scheme)
    for seed in range(3):
        qat(list(patterns.data(64, seed).values()), training=True)
    x = patterns.data(100, 9)
    expected = qat.predict(x, verbose=0)
    (file,) = ek.convert(qat, ["int4" if scheme == "ternary" else scheme]).values()
    report = ek.inspect(file)
    found = file.predict(x, kernels=kernels)
    steps = {edge.name: edge.scale for edge in report.outputs}
    return {name: (expected[name], found[name], steps[name]) for name in expected}, report


def without(table, names):
    return {name: pattern for name, pattern in table.items() if name not in names}


def differences(expected, found, step):
    assert found.shape == expected.shape
    assert np.ptp(expected) > 5 * step  # there is something to compare
    return np.abs(found - expected) / step


@pytest.fixture(scope="module")
def compared():
    sequence = without(patterns.SEQUENCE, RECURRENT)
    return compare(patterns.IMAGE, sequence, patterns.IDS)


def test_the_table_is_as_long_as_promised():
    assert len(patterns.PATTERNS) >= 60


def test_every_op_is_integer(compared):
    _, report = compared
    # Embeddings compute their index; normalisation has 16 bits inside.
    assert set(report.op_dtypes) <= {"int8", "int16", "int32", "bool"}
    assert report.op_dtypes["int8"] > 8 * report.op_dtypes["int16"]
    assert report.float_islands == []
    assert {edge.dtype for edge in report.inputs} == {"int8", "int32"}
    assert {edge.dtype for edge in report.outputs} == {"int8"}


@pytest.mark.parametrize("pattern", sorted(set(patterns.PATTERNS) - RECURRENT))
def test_litert_computes_what_keras_says(compared, pattern):
    difference = differences(*compared[0][pattern])
    allowed = STEPS.get(pattern, 1) + 0.01
    assert np.mean(difference > allowed) <= 0.001, f"largest {difference.max():.2f} steps"


def test_what_the_reference_kernels_lack_is_exact_in_the_others():
    outputs, report = compare(patterns.NOT_IN_REFERENCE, kernels="xnnpack")
    assert report.float_islands == []
    for name, values in outputs.items():
        assert np.mean(differences(*values) > 2.01) <= 0.001, name


def test_what_stays_float_is_said_by_both_sides():
    tables = {name: pattern for name, (pattern, _) in patterns.FLOAT.items()}
    model = patterns.model_of(tables)
    with pytest.warns(UserWarning, match="quantize_aware leaves in float") as found:
        qat = ek.quantize_aware(model)
    (said,) = [str(w.message) for w in found if "leaves in float" in str(w.message)]
    for operation in ("TrueDivide", "Sqrt", "Sin", "Conv"):
        assert operation in said
    qat(list(patterns.data(16, 0).values()), training=True)
    with pytest.warns(UserWarning, match="int8: these ops stayed float"):
        file = ek.convert(qat, ["int8"])["int8"]
    islands = {op.name for op in ek.inspect(file).float_islands}
    assert islands == set().union(*(ops for _, ops in patterns.FLOAT.values()))
    x = patterns.data(20, 1)
    expected, found = qat.predict(x, verbose=0), file.predict(x)
    for name in expected:
        far = np.abs(found[name] - expected[name]) > 0.02 * np.ptp(expected[name])
        assert np.mean(far) < 0.002, name


def test_a_short_recurrence_is_integer():
    """Its first state is a constant: what it is rounded to is a grid that the ops need."""
    x = keras.Input((2, 3))
    qat = ek.quantize_aware(keras.Model(x, keras.layers.SimpleRNN(4)(x)))
    qat(np.random.default_rng(0).normal(size=(8, 2, 3)).astype("float32"), training=True)
    assert set(ek.inspect(ek.convert(qat, ["int8"])["int8"]).op_dtypes) == {"int8"}


@pytest.mark.slow
def test_recurrent_layers():
    table = {name: patterns.SEQUENCE[name] for name in RECURRENT}
    # On the kernels that round once: a state on which the reference ones round twice goes through
    # the next step's kernels and tables, and on.
    outputs, report = compare(sequence=table, kernels="xnnpack")
    assert set(report.op_dtypes) == {"int8"}
    for name, values in outputs.items():
        difference = differences(*values)
        assert np.mean(difference > 1.01) <= 0.01, name
        assert difference.max() <= 8.01, name


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["int4", "int16x8", "ternary"])
def test_other_widths(scheme):
    """A bias counts in coarse steps beside 4-bit kernels; 16-bit tables interpolate."""
    image = without(patterns.IMAGE, {"layer_norm", "resizing", "upsample_bilinear", "unit_norm"})
    outputs, report = compare(image, scheme=scheme)
    width = "int16" if scheme == "int16x8" else "int8"
    assert report.op_dtypes[width] > 0.95 * sum(report.op_dtypes.values())
    stored = {w.dtype for w in report.weights}
    assert ("int4" in stored) == (scheme != "int16x8")
    allowed = 8 if scheme == "int16x8" else 3
    for name, values in outputs.items():
        allowance = max(allowed, STEPS.get(name, 0))
        assert np.mean(differences(*values) > allowance + 0.01) <= 0.002, name
