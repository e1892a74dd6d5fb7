import pytest

from device_bench.modes import mode_of


def test_the_rules_of_mlperf():
    tiny, mobile = mode_of("mlperf-tiny"), mode_of("mlperf-mobile")
    assert (tiny.windows, tiny.headline) == (5, "throughput")
    assert (mobile.min_runs, mobile.seconds, mobile.headline) == (1024, 60, "p90")


def test_numbers_change_a_mode_but_not_rules():
    assert mode_of("standard", 3, 0.5).processes == 3
    assert mode_of("standard", 3, 0.5).seconds == 0.5
    with pytest.raises(ValueError, match="`seconds` is fixed by the rules of mlperf-tiny"):
        mode_of("mlperf-tiny", seconds=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("slow",), "`mode` must be one of quick, standard, .* mode='slow'"),
        (("quick", 1.5), "`processes` must be a whole number"),
        (("quick", 0), "`processes` must be above 0"),
        (("quick", None, -1), "`seconds` must be above 0"),
        (("quick", None, float("inf")), "`seconds` must be above 0 and at most 3600"),
        (("quick", None, "1"), "`seconds` must be a number"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        mode_of(*arguments)
