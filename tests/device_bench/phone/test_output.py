from pathlib import Path

import pytest

from device_bench.phone.output import parse_output

RECORDED = Path(__file__).parent / "recorded"


def runs(name):
    return parse_output((RECORDED / name).read_text())


def test_a_phone_of_2021():
    (run,) = runs("yolov5s_phone_2021.txt")
    assert (run.init, run.first, run.warmup, run.mean) == (16242, 360262, 304586, 249684)
    assert run.runs == 50
    assert run.statistics == {"min": 247067, "max": 254474, "std": 1442}
    assert run.middle == 249684
    assert run.memory == round(138.809 * 2**20)


def test_a_log_of_an_app_in_2025():
    (run,) = runs("logcat_2025.txt")
    assert run.name == "best_int8"
    assert run.threads == 4
    assert run.runs == 25  # not the three of the warm-up
    assert run.middle == 141253
    assert run.statistics["p95"] == 187533
    assert run.delegated == (539, 548)
    assert run.delegate == "TfLiteXNNPackDelegate"


def test_two_runs_in_one_terminal():
    plain, profiled = runs("localizer_arm.txt")
    assert plain.mean == 6479.5
    assert plain.ops == ()
    assert profiled.mean == 7454.97
    assert [op.mean_ms for op in profiled.ops] == [0.278, 0.271, 0.051]
    assert all(op.delegated for op in profiled.ops)
    assert profiled.ops[2].kind == "Add (ND, QU8)"


def test_times_with_an_exponent_and_a_profile_with_a_start_column():
    (run,) = runs("mobilenet_riscv_profile.txt")
    assert run.mean == 2950340
    assert run.graph == "./mobilenet_v1_1.0_224.tflite"
    kinds = [(op.kind, op.mean_ms) for op in run.ops]
    assert kinds == [
        ("CONV_2D", 60.957),
        ("DEPTHWISE_CONV_2D", 49.870),
        ("AVERAGE_POOL_2D", 0.869),
        ("SOFTMAX", 0.233),
    ]
    assert run.ops[0].name == "[MobilenetV1/MobilenetV1/Conv2d_0/Relu6]:0"
    assert not run.ops[0].delegated


@pytest.mark.parametrize("text", ["", "nothing of the kind", "STARTING!\ncount=3 curr=5\n"])
def test_output_without_a_finished_run(text):
    with pytest.raises(ValueError, match="no finished run of benchmark_model"):
        parse_output(text)


def test_a_single_run_is_not_taken_for_the_warm_up():
    text = (
        "STARTING!\nLog parameter values verbosely: [0]\nGraph: [m.tflite]\n"
        "count=3 first=9 curr=7 min=7 max=9 avg=8 std=1 p5=7 median=8 p95=9\n"
        "count=1 curr=5\n"
        "Inference timings in us: Init: 3, First inference: 9, Warmup (avg): nan, "
        "Inference (avg): 5\n"
    )
    (run,) = parse_output(f"EDGEKIT mine round 4\n{text}")
    assert (run.name, run.round, run.runs, run.middle) == ("mine", 4, 1, 5)
    assert len(parse_output(text + text)) == 2


def test_a_run_that_was_cut_is_left_out():
    whole = (RECORDED / "localizer_arm.txt").read_text()
    cut = whole[: whole.rindex("Inference timings")]
    assert len(parse_output(cut)) == 1
