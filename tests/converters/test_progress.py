"""Progress in a log: lines that come while the work goes on."""

import io
import itertools

from converters.progress import Stages, progress_of


def test_a_log_has_a_line_at_begin_and_end():
    log = io.StringIO()
    with Stages(log).running() as stages:
        with stages.step("loading"):
            assert log.getvalue() == "loading: begins\n"
        report = stages.counter("never begun")
        report = stages.counter("training")
        for done in range(1, 101):
            report(done, 100)
    assert log.getvalue().splitlines() == [
        "loading: begins", "loading: done in 0 s", "training: begins", "training: done in 0 s",
    ]  # fmt: skip


def test_tenths_are_told_where_they_take_their_time(monkeypatch):
    clock = itertools.count(0, 0.5)
    monkeypatch.setattr("converters.progress.time.monotonic", lambda: next(clock))
    log = io.StringIO()
    with Stages(log).running() as stages:
        report = stages.counter("training")
        for done in range(1, 101):
            report(done, 100)
    lines = log.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[1].startswith("training: 10%, about ")
    assert lines[-1].startswith("training: done in")


def test_runs_within_a_run_are_shown_there(tmp_path):
    log = io.StringIO()
    with Stages(log).running(), progress_of(tmp_path) as show:
        (tmp_path / "current").write_text("int8")
        (tmp_path / "progress").write_text("3 10")
        show()
    assert "converting: int8: begins" in log.getvalue()
    assert "calibrating: begins" in log.getvalue()


def test_a_library_says_nothing_without_a_terminal(tmp_path, capfd):
    with progress_of(tmp_path) as show:
        (tmp_path / "current").write_text("int8")
        show()
    assert capfd.readouterr() == ("", "")
