"""Measures cases round by round, each in a fresh process, shuffled anew in every round."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.child import ChildError, run_module
from converters.files import write_whole
from device_bench.host.correctness import accuracy, check_outputs
from device_bench.host.jobs import Case

_TWIN = "the same again"


@dataclass
class Found:
    """What came of a case.

    Args:
        processes: What each worker reported, in the order of the rounds.
        check: As `check_outputs` gives it.
        accuracy: Share of labels that are right, or None.
        error: Why it was given up, or None.
    """

    processes: list[dict] = field(default_factory=list)
    check: dict | None = None
    accuracy: float | None = None
    error: str | None = None


class Rounds:
    """All measurements of a benchmark, on this machine.

    Args:
        cases: What to measure.
        processes: Rounds.
        self_pair: Whether the first case is measured twice in each round.
        timeout: Seconds after which a process hangs, beside what it is asked to measure.
        seed: Of the order.
        keep: A file that what was measured goes to after each process, and is read from before
            the first; None for neither.
        on_progress: Called as `on_progress(done, total)` after each process.
    """

    def __init__(
        self,
        cases: list[Case],
        processes: int,
        self_pair: bool,
        timeout: float,
        seed: int,
        keep: Path | None,
        on_progress: Callable[[int, int], None],
    ):
        self._cases, self._processes, self._timeout = cases, processes, timeout
        self._order, self._keep, self._on_progress = random.Random(seed), keep, on_progress
        self.found = {case.name: Found() for case in cases}
        self.twin = Found() if self_pair else None
        self.interrupted = False
        self._done, self._total = 0, processes * (len(cases) + self_pair) + len(cases)

    def run(self, samples: Mapping[str, dict | None], labels: np.ndarray | None) -> None:
        """Check outputs, then measure; Ctrl-C ends it, and what was measured stays.

        Args:
            samples: For each model its inputs by name, or None.
            labels: Class numbers, or None.
        """
        kept = self._read()
        try:
            for case in self._cases:
                self._check(case, samples[case.model], labels, kept)
                self._tick()
            for number in range(self._processes):
                turns = [(case, self.found[case.name], case.key) for case in self._cases]
                if self.twin is not None:
                    first = self._cases[0]
                    turns.append((first, self.twin, f"{_TWIN} {first.key}"))
                for case, found, key in self._order.sample(turns, len(turns)):
                    self._measure(case, found, key, number, kept)
                    self._tick()
        except KeyboardInterrupt:
            self.interrupted = True

    def _check(self, case: Case, samples, labels, kept) -> None:
        found, known = self.found[case.name], kept.get(f"check {case.key}")
        if known is None or (labels is not None and known["accuracy"] is None):
            try:
                known = {"check": check_outputs(case, self._timeout), "accuracy": None}
                if labels is not None:
                    limit = self._timeout + 60 + 0.1 * len(labels)
                    known["accuracy"] = accuracy(case, samples, labels, limit)
            except ChildError as error:
                found.error = str(error)
                return
            self._remember(kept, f"check {case.key}", known)
        found.check = known["check"]
        found.accuracy = None if labels is None else known["accuracy"]

    def _measure(self, case: Case, found: Found, key: str, number: int, kept: dict) -> None:
        error = self.found[case.name].error
        if error:
            found.error = error
            return
        runs = kept.setdefault(key, [])
        if number >= len(runs):
            seconds = case.job["windows"] * case.job["seconds"]
            try:
                output = run_module(
                    "device_bench.host.worker",
                    str(case.write("job")),
                    timeout=self._timeout + 12 * seconds,
                )
            except ChildError as error:
                for each in (found, self.found[case.name]):
                    each.error = str(error)
                    each.processes.clear()
                return
            # LiteRT's own log lines may stand around the worker's.
            lines = [line for line in output.splitlines() if line.startswith("{")]
            if not lines:
                self.found[case.name].error = "the process ended without a word"
                return
            self._remember(kept, key, [*runs, json.loads(lines[-1])])
        found.processes.append(kept[key][number])

    def _read(self) -> dict:
        if self._keep is None or not self._keep.exists():
            return {}
        try:
            found = json.loads(self._keep.read_text())
            return found["kept"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{self._keep} is not a file of measurements to go on from: name another"
            ) from None

    def _remember(self, kept: dict, key: str, value) -> None:
        kept[key] = value
        if self._keep is not None:
            write_whole(self._keep, json.dumps({"kept": kept}))

    def _tick(self) -> None:
        self._done += 1
        self._on_progress(self._done, self._total)
