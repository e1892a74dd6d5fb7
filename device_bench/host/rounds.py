"""Measures cases round by round, each in a fresh process, shuffled anew in every round."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from converters.child import ChildError, run_module
from converters.files import write_whole
from device_bench.host.correctness import accuracy, check_outputs
from device_bench.host.jobs import Case
from device_bench.host.plan import Plan

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
        plan: How. What was measured goes to its file after each process, and is read from there
            before the first; the file goes when all is done.
        host: What the machine is: on another one nothing is gone on with.
        on_progress: Called as `on_progress(done, total)` after each process.
    """

    def __init__(
        self, cases: list[Case], plan: Plan, host: Mapping, on_progress: Callable[[int, int], None]
    ):
        self._cases, self._processes = cases, plan.mode.processes
        self._timeout, self._keep = plan.timeout, plan.keep
        self._order, self._on_progress = random.Random(plan.seed), on_progress
        self._machine = {name: host[name] for name in ("processor", "cores", "ai-edge-litert")}
        self.found = {case.name: Found() for case in cases}
        self.twin = Found() if plan.mode.self_pair else None
        self.interrupted = False
        turns = len(cases) + plan.mode.self_pair
        self._done, self._total = 0, self._processes * turns + len(cases)

    def run(self, samples: Mapping[str, dict | None], labels: np.ndarray | None) -> None:
        """Check outputs, then measure; Ctrl-C ends it, and what was measured stays.

        Args:
            samples: For each model its inputs by name, or None.
            labels: Class numbers, or None.
        """
        self._kept = self._read(labels)
        try:
            for case in self._cases:
                self._check(case, samples[case.model], labels)
                self._tick()
            for number in range(self._processes):
                turns = [(case, self.found[case.name], case.name) for case in self._cases]
                if self.twin is not None:
                    first = self._cases[0]
                    turns.append((first, self.twin, f"{first.name}, {_TWIN}"))
                for case, found, name in self._order.sample(turns, len(turns)):
                    self._measure(case, found, name, number)
                    self._tick()
        except KeyboardInterrupt:
            self.interrupted = True
        else:
            if self._keep is not None:  # there is nothing left to go on with
                self._keep.unlink(missing_ok=True)

    def _check(self, case: Case, samples, labels) -> None:
        found, name = self.found[case.name], f"check of {case.name}"
        known = self._kept["done"].get(name)
        if known is None:
            try:
                known = {"check": check_outputs(case, self._timeout), "accuracy": None}
                if labels is not None:
                    limit = self._timeout + 60 + 0.1 * len(labels)
                    known["accuracy"] = accuracy(case, samples, labels, limit)
            except (ChildError, ValueError, TypeError, KeyError) as error:
                found.error = str(error)
                return
            self._remember(name, known)
        found.check, found.accuracy = known["check"], known["accuracy"]

    def _measure(self, case: Case, found: Found, name: str, number: int) -> None:
        error = self.found[case.name].error
        if error:
            found.error = error
            return
        runs = self._kept["done"].get(name, [])
        if number >= len(runs):
            limit = self._timeout + case.job["windows"] * case.job["longest"]
            try:
                runs = [*runs, _worked(case, limit)]
            except ChildError as error:
                for each in (found, self.found[case.name]):
                    each.error = str(error)
                    each.processes.clear()
                return
            self._remember(name, runs)
        found.processes.append(runs[number])

    def _read(self, labels) -> dict:
        """What was measured of this very benchmark; nothing where there is no file."""
        plan = [self._processes, self.twin is not None, [case.about for case in self._cases]]
        truth = None if labels is None else hashlib.sha256(labels.tobytes()).hexdigest()
        text = json.dumps([plan, truth, self._machine], sort_keys=True)
        plan = hashlib.sha256(text.encode()).hexdigest()
        if self._keep is None or not self._keep.exists():
            return {"plan": plan, "done": {}}
        try:
            found = json.loads(self._keep.read_text())
            same, _ = found["plan"] == plan, found["done"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{self._keep} is not a file of measurements to go on from: name another"
            ) from None
        if not same:
            raise ValueError(
                f"{self._keep} is of another benchmark (models, inputs, settings or machine "
                "differ): name another file, or delete it"
            )
        return found

    def _remember(self, name: str, value) -> None:
        self._kept["done"][name] = value
        if self._keep is not None:
            write_whole(self._keep, json.dumps(self._kept))

    def _tick(self) -> None:
        self._done += 1
        self._on_progress(self._done, self._total)


def _worked(case: Case, limit: float) -> dict:
    """What a worker reports of the case."""
    output = run_module("device_bench.host.worker", str(case.write("job")), timeout=limit)
    # LiteRT's own log lines may stand around the worker's.
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise ChildError("the process ended without a word", output)
    return json.loads(lines[-1])
