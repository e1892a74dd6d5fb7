"""Saving, resuming, half precision, compilation and distribution of quantisation-aware models."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.edgekit.quantization import patterns
from tests.two_devices import run_on_two_devices


def everything() -> keras.Model:
    """One net with each kind of wrapper: convolution, norm, attention, recurrence, nested."""
    image = keras.Input((8, 8, 4), name="image")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.Activation("swish")(layers.BatchNormalization(name="bn")(x))
    x = layers.SeparableConv2D(4, 3, padding="same", name="separable")(x)
    x = layers.BatchNormalization(name="bn_alone")(layers.PReLU(name="prelu")(x))
    x = patterns.Block(name="block")(x) + 0.5
    x = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(8, 2, strides=2)], name="inner")(x)
    x = layers.Reshape((16, 8))(x)
    x = layers.LayerNormalization(name="norm")(
        x + layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    )
    x = layers.GRU(5, name="gru")(x[:, :3])
    return keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(x), name="all")


def data(samples=64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, 8, 8, 4)).astype("float32")
    return x, (x.mean(axis=(1, 2))[:, :3]).argmax(axis=1)


def train(model, epochs=1, **options):
    x, y = data()
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", **options)
    return model.fit(x, y, batch_size=32, epochs=epochs, verbose=0).history["loss"]


@pytest.fixture(scope="module", params=["int8", "int4"])
def trained(request):
    keras.utils.set_random_seed(0)
    model = ek.quantize_aware(everything(), request.param)
    train(model, epochs=2)
    return model


def test_a_loaded_model_computes_and_trains_the_same(trained, tmp_path):
    x, y = data()
    trained.save(tmp_path / "qat.keras")
    again = keras.models.load_model(tmp_path / "qat.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), trained.predict(x, verbose=0))
    for old, new in zip(trained.weights, again.weights, strict=True):
        assert old.shape == new.shape
        np.testing.assert_array_equal(np.asarray(old), np.asarray(new), err_msg=old.path)
    # Resumed with its optimizer, it goes on as the original does.
    keras.utils.set_random_seed(1)
    first = trained.fit(x, y, batch_size=32, shuffle=False, verbose=0).history["loss"]
    keras.utils.set_random_seed(1)
    second = again.fit(x, y, batch_size=32, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(first, second, rtol=0.02)
    assert ek.strip(again).count_params() == everything().count_params()


def test_loads_and_trains_on_in_a_new_process(trained, tmp_path):
    x, _ = data()
    trained.save(tmp_path / "qat.keras")
    np.save(tmp_path / "x.npy", x)
    script = """
import sys, keras, numpy as np, edgekit as ek
from tests.edgekit.quantization import patterns
from edgekit import quantization
model = keras.models.load_model(sys.argv[1] + "/qat.keras")
x = np.load(sys.argv[1] + "/x.npy")
np.save(sys.argv[1] + "/y.npy", model.predict(x, verbose=0))
assert np.isfinite(model.fit(x, np.zeros(len(x)), verbose=0).history["loss"]).all()
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), trained.predict(x, verbose=0), atol=1e-6
    )


def test_strip_gives_back_every_layer(trained):
    plain = ek.strip(trained)
    original = everything()
    kinds = {keras.Sequential: type(plain)}  # a Sequential comes back as a Functional
    assert [type(v) for v in plain.layers] == [kinds.get(type(v), type(v)) for v in original.layers]
    assert [w.shape for w in plain.weights] == [w.shape for w in original.weights]
    assert not any(hasattr(layer, "rounds") for layer in plain._flatten_layers())
    x, _ = data(16)
    again = ek.strip(ek.quantize_aware(plain))
    np.testing.assert_allclose(again.predict(x, verbose=0), plain.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_mixed_precision_trains_and_converts(policy, tmp_path):
    """TFMOT raises a TypeError here (its fault 15)."""
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = ek.quantize_aware(everything())
        assert np.isfinite(train(model)).all()
        x, _ = data()
        assert np.isfinite(model.predict(x, verbose=0)).all()
        report = ek.inspect(ek.convert(model, "int8")["int8"])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert report.float_islands == []


def test_compiled_by_xla():
    keras.utils.set_random_seed(0)
    model = ek.quantize_aware(everything())
    assert np.isfinite(train(model, jit_compile=True)).all()
    assert all(v.calibrated for v in model._flatten_layers() if hasattr(v, "calibrated"))


@pytest.mark.slow
def test_distributed_over_two_devices():
    """In a process of its own: logical devices are set before TensorFlow starts."""
    script = """
import numpy as np, tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, edgekit as ek
from tests.edgekit.quantization.test_state import everything, data
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = ek.quantize_aware(everything())
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
x, y = data()
assert np.isfinite(model.fit(x, y, batch_size=32, epochs=2, verbose=0).history["loss"]).all()
rounding = [v for v in model._flatten_layers() if hasattr(v, "calibrated") and v.weights]
(first,) = [v for v in rounding if v.name == "image_range"]
low, high = first._range()
# Each replica saw a part of the samples, and the range is that of all.
assert (float(low), float(high)) == (x.min(), x.max())
cell = [v for v in rounding if v.in_loop and v.fixed_range is None]
assert cell
for layer in cell:
    local = [float(value) for value in layer.range_max.value.values]
    assert local[0] == local[1]
assert all(v.calibrated for v in model._flatten_layers() if hasattr(v, "calibrated"))
report = ek.inspect(ek.convert(model, "int8")["int8"])
assert report.float_islands == []
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_ranges_followed_in_a_loop_are_those_of_all_replicas():
    """Of every estimator: the larger end of either replica, three times what it was given."""
    run_on_two_devices("""
from edgekit.quantization import FakeQuantize

halves = ([-1.0, 2.0], [0.5, -3.0])
strategy = mirrored()
for estimator in ("recent", "minmax", "ema", "percentile", "lsq"):
    with strategy.scope():
        rounding = FakeQuantize(estimator=estimator)
        rounding.build((None, 2))
        rounding.in_loop = True

    @tf.function
    def step(values):
        def loop(values):
            for scale in (3.0, 1.0, 3.0, 3.0):
                rounding(values * scale, training=True)
            rounding.synchronize()
        strategy.run(loop, args=(values,))

    for _ in range(40):
        step(strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(halves[context.replica_id_in_sync_group])
        ))
    state = [v for v in rounding.non_trainable_variables if v.name != "clips"]
    for variable in state:
        equal_replicas(variable)
    ends = strategy.run(tf.function(rounding._range))
    ends = [strategy.experimental_local_results(end)[0] for end in ends]
    if estimator not in ("ema", "percentile"):  # which are means over time
        np.testing.assert_allclose(ends, [-9.0, 6.0], atol=0.05)
""")


def test_zeros_are_kept_through_training():
    model = ek.quantize_aware(everything(), "int4")
    kernels = [v for v in model.trainable_variables if len(v.shape) >= 2 and "kernel" in v.name]
    for kernel in kernels:
        values = np.asarray(kernel).copy()
        values[np.abs(values) < np.median(np.abs(values))] = 0
        kernel.assign(values)
    zeros = [np.asarray(kernel) == 0 for kernel in kernels]
    x, y = data()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0, callbacks=[ek.KeepSparsity()])
    for kernel, zero in zip(kernels, zeros, strict=True):
        assert zero.any()
        assert (np.asarray(kernel)[zero] == 0).all(), kernel.path
