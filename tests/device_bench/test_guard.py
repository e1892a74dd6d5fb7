import pytest

from device_bench import Setting
from device_bench.guard import broken_rules, other_circumstances, parse_rules
from tests.device_bench.made_results import result, row, spread


def broken(text, now, before=None):
    rules = parse_rules([text], with_baseline=before is not None)
    return broken_rules(result(now), rules, before and result(before))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size>99kB", "size>99kB: m has size 100,000 B"),
        ("size>100kB", None),
        ("size>0.1MB", None),
        ("size > 97KiB", "has size 100,000 B"),
        ("latency>3.9ms", "has latency 4 ms"),
        ("latency>3900us", "has latency 4 ms"),
        ("latency<1ms", None),
        ("p90>4.3ms", "has p90 4.4 ms"),
        ("first>10ms", "has first 12 ms"),
        ("accuracy<95%", "has accuracy 90.00%"),
        ("accuracy<0.95", "has accuracy 90.00%"),
        ("arena>40kB", "has arena 50,000 B"),
        ("memory>40MB", "has memory 50,000,000 B"),
        ("throughput<300", "has throughput 250.0/s"),
    ],
)
def test_limits(text, said):
    found = broken(text, row("m", [4.0] * 8))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_slower_than_before():
    before = row("m", spread(4.0))
    assert broken("latency>+5%", row("m", spread(4.1)), before) == []
    (line,) = broken("latency>+5%", row("m", spread(4.4)), before)
    assert line.startswith("latency>+5%: m went from 3.996 ms to 4.396 ms, 1.100 times (1.0")
    assert broken("latency>+5%", row("m", spread(3.0)), before) == []
    assert "0.750 times" in broken("latency<-5%", row("m", spread(3.0)), before)[0]


def against_first(text, first, other):
    return broken_rules(result(first, other), parse_rules([text], with_baseline=False), None)


def test_slower_than_the_first_model():
    first = row("a", spread(4.0))
    (line,) = against_first("latency>1.05x", first, row("b", spread(4.4)))
    assert line.startswith("latency>1.05x: b has latency 4.396 ms, the first model has 3.996 ms, 1")
    assert against_first("latency>+5% first", first, row("b", spread(4.4)))
    assert against_first("latency>1.05x", first, row("b", spread(4.1))) == []
    wild = [4.0, 5.0, 3.9, 6.0, 3.8, 5.5, 4.1, 7.0]
    assert against_first("latency>1.05x", first, row("b", wild)) == []
    few = against_first("latency>1.05x", row("a", spread(4.0, 3)), row("b", spread(4.4, 3)))
    assert "of 3 processes: 6 tell more" in few[0]
    # What the first model differs from itself is no difference.
    noisy = result(first, row("b", spread(4.4)))
    noisy.twin = row("a", spread(4.6))
    assert broken_rules(noisy, parse_rules(["latency>1.05x"], False), None) == []


def test_other_figures_against_the_first_model():
    first = row("a", spread(4.0))
    less = row("b", spread(4.0), accuracy=0.893, file_bytes=120_000)
    (line,) = against_first("accuracy<-0.5pt first", first, less)
    assert "b has accuracy 89.30%, the first model has 90.00%, -0.70 points" in line
    assert against_first("accuracy<-1pt first", first, less) == []
    assert "+20.0%" in against_first("size>1.1x", first, less)[0]
    assert against_first("size>1.2x", first, less) == []
    assert "was not measured" in against_first("size>1.1x", row("a", [], error="died"), less)[0]


def test_points_and_times_of_the_baseline():
    now, before = row("m", spread(4.0), accuracy=0.89), row("m", spread(4.0))
    assert "-1.00 points" in broken("accuracy<-0.5pt", now, before)[0]
    assert "went from 100,000 B" in broken("size>0.9x baseline", now, before)[0]


def test_noise_is_no_failure():
    wild = [4.0, 5.0, 3.9, 6.0, 3.8, 5.5, 4.1, 7.0]
    assert broken("latency>+5%", row("m", wild), row("m", [4.2, 3.9, 6.5, 4.0, 4.4] * 2)) == []


def test_other_figures_change_too():
    before = row("m", spread(4.0))
    (line,) = broken("size>+1%", row("m", spread(4.0), file_bytes=102_000), before)
    assert "went from 100,000 B to 102,000 B, +2.0%" in line
    assert broken("size>+1%", row("m", spread(4.0), file_bytes=101_000), before) == []
    (line,) = broken("accuracy<-0.5%", row("m", spread(4.0), accuracy=0.89), before)
    assert "went from 90.00% to 89.00%" in line
    assert broken("accuracy<-0.5%", row("m", spread(4.0), accuracy=0.896), before) == []


def test_what_cannot_be_compared_is_said():
    now, before = row("m", spread(4.0), accuracy=None), row("m", spread(4.0))
    assert "has no accuracy" in broken("accuracy<80%", now)[0]
    assert "has no accuracy in the baseline" in broken("accuracy<-1%", before, now)[0]
    assert "m is not in the baseline" in broken("latency>+5%", now, row("n", spread(4.0)))[0]
    threads = row("m", spread(4.0), setting=Setting(threads=4))
    assert "m is not in the baseline" in broken("latency>+5%", now, threads)[0]
    few = broken("latency>+5%", row("m", spread(4.4)), row("m", spread(4.0, 3)))
    assert "of 8 and 3 processes: 6 tell more" in few[0]
    failed = row("m", [], error="it crashed")
    assert broken("size>1B", failed) == []  # the error is said anyway


def test_an_interrupted_benchmark_keeps_no_rule():
    stopped = result(row("m", spread(4.0)))
    stopped.settings["interrupted"] = True
    rules = parse_rules(["size>900kB"], with_baseline=False)
    assert "was interrupted" in broken_rules(stopped, rules, None)[0]


def test_other_circumstances_are_named():
    now, before = result(row("m", spread(4.0))), result(row("m", spread(4.0)))
    assert other_circumstances(now, before) == []
    before.host["processor"] = "another"
    assert other_circumstances(now, before) == ["processor was another, is a processor"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed>5ms", "is no rule: write"),
        ("latency=5ms", "is no rule"),
        ("latency>+5%", "is a change: name the --baseline"),
        ("latency>+5ms", r"a change is in %, as in 'latency>\+5%'"),
        ("latency>5kB", "latency is in 'ms', 'us', 'µs', 's'. Received: 'kB'"),
        ("size>5", "size is in 'B'"),
        ("accuracy>1.1x", "accuracy changes in points"),
        ("size>5kB first", "against the first there are changes"),
        ("latency>1.1x baseline", "name the --baseline"),
        ("latency>+5pt", "a change is in %"),
    ],
)
def test_bad_rules(text, message):
    with pytest.raises(ValueError, match=message):
        parse_rules([text], with_baseline=False)
