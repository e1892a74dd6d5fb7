import json

import numpy as np
import pytest

from converters import Flatbuffer
from converters.child import ChildError
from device_bench.profiling import profile as module
from device_bench.profiling.profile import profile
from device_bench.setting import Setting
from tests.device_bench import broken_models


@pytest.fixture(scope="module")
def builtin(files):
    return profile(files["int8"], kernels="builtin")


def test_each_op_of_the_file_has_a_row(files, builtin):
    import edgekit as ek

    ops = ek.inspect(files["int8"]).ops
    assert [row.name for row in builtin.rows] == [op.name for op in ops]
    assert [row.node for row in builtin.rows] == list(range(len(ops)))
    assert not any(row.delegated for row in builtin.rows)
    assert {row.dtype for row in builtin.rows} == {"int8"}
    assert builtin.float_islands == []


def test_rows_and_residual_are_the_time_of_a_run(builtin):
    whole = sum(row.microseconds for row in builtin.rows)
    assert whole + builtin.residual_us == pytest.approx(builtin.plain_us)
    assert builtin.plain_us + builtin.overhead_us == pytest.approx(builtin.invoke_us)
    assert sum(builtin.by_name().values()) == pytest.approx(whole)
    assert list(builtin.by_name().values()) == sorted(builtin.by_name().values(), reverse=True)


def test_the_slow_op_is_found():
    """A product of 512 x 512 matrices beside small sums."""
    import tensorflow as tf

    matrix = tf.constant(np.random.default_rng(0).random((512, 512), "float32"))
    file = broken_models.converted(lambda x: tf.cos(tf.matmul(x, matrix)) + x, [64, 512])
    found = profile(file, kernels="builtin")
    slowest = max(found.rows, key=lambda row: row.microseconds)
    assert slowest.name in ("FULLY_CONNECTED", "BATCH_MATMUL")
    assert slowest.microseconds > 0.5 * found.plain_us
    assert abs(found.residual_us) < 0.3 * found.plain_us


def test_delegated_kernels_are_told_from_others():
    """A product of matrices, long enough for XNNPACK's whole microseconds."""
    import tensorflow as tf

    matrix = tf.constant(np.random.default_rng(0).random((512, 512), "float32"))
    file = broken_models.converted(lambda x: tf.matmul(x, matrix), [64, 512])
    found = profile(file, inputs=np.ones((64, 512), "float32"))
    assert found.delegated_share > 0.5
    assert any(row.delegated for row in found.rows)
    text = str(found)
    assert "residual" in text
    assert "delegate" in text
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["name"] == found.rows[0].name


def test_kernels_too_short_to_count_have_no_share():
    row = module.Row("Convolution", 0, True, 0.0)
    found = module.Profile((row,), 5, 90.0, 6.0, Setting("xnnpack", 1, runtime="compiled"))
    assert found.delegated_share is None
    assert "less than the microsecond that is counted" in " ".join(str(found).split())


def test_float_islands_are_named():
    """An integer model with a layer that has no integer kernel."""
    import keras

    import edgekit as ek

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.Lambda(lambda v: keras.ops.cos(v))(x)
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    x = np.random.default_rng(0).random((16, 8, 8, 3), "float32")
    found = profile(ek.convert(model, ["int8"], calibration=x)["int8"], kernels="builtin")
    assert [row.name for row in found.float_islands] == ["COS"]
    assert "island" in str(found)


def test_a_model_that_does_not_run_is_told_from_a_profiler_that_is_not_there(files, monkeypatch):
    with pytest.raises(ValueError, match="the model does not run: .*Op builtin_code"):
        profile(broken_models.unknown_op(files["int8"].content))

    def fail(*_, **__):
        raise ChildError("LiteRT's library has no LiteRtStartProfiler", "")

    monkeypatch.setattr(module, "run_module", fail)
    monkeypatch.setattr(module, "package_version", lambda _: "9.0.1")
    with pytest.raises(RuntimeError, match="LiteRT 9.0.1 does not let .* it was tried with 2.3"):
        profile(files["int8"])


def test_bad_arguments(files, tmp_path):
    with pytest.raises(ValueError, match="runtime='interpreter' has them"):
        profile(files["int8"], kernels="reference")
    with pytest.raises(ValueError, match="`inputs` for input 'image' must have shape"):
        profile(files["int8"], inputs=np.zeros((1, 3)))
    with pytest.raises(FileNotFoundError):
        profile(tmp_path / "none.tflite")
    with pytest.raises(ValueError, match="damaged"):
        profile(Flatbuffer(files["int8"].content[:200]))
