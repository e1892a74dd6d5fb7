"""Distillation on MNIST in Hinton's setting, and what a teacher costs, beside Keras's Distiller.

    EDGEKIT_DATA=data python benchmarks/distillation.py --out benchmarks/results/distillation.json

`hinton` (three seeds): a teacher of two hidden layers of 1,200 units, trained with dropout and
bounded weights on digits shifted by up to two pixels; a student of two layers of 800, by the same
recipe once on labels alone and once on the teacher's soft targets at a temperature of 20, on the
digits as they are. Errors of 10,000 beside the paper's 67, 146 and 74. Beyond the paper: soft
targets from the teacher's mean logits over all shifts of a digit, which are smoother. 50 minutes a
seed on one core.

`never seen`: the student is taught so on digits without a single 3. Then 3's bias is raised until
it answers 3 as often as there are threes.

`orderings` (three seeds): a teaching assistant, born-again networks and their ensemble, on ResNet-8
and narrower ones, CIFAR-10 (JPEG), with few epochs; mean differences with 95 % intervals.

`cost`: time of an epoch with answers stored on disk, and with the teacher in the step, over that of
the student alone; edgekit's and Keras's in turns in one process.

Each figure goes to the JSON at once, and figures that are there are not measured again. `--only`
measures a part, `--seed` some of the nets; `--quick` shows that all of it runs, in two minutes.
"""

import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
from distillation_cost import cost
from distillation_hinton import hinton
from distillation_orderings import orderings
from figures import save
from scipy import stats

PAPER = {"teacher": 67, "plain": 146, "distilled": 74}
PAPER_NEVER_SEEN = {"errors": 206, "errors on 3": 133, "fixed": 109, "fixed on 3": 14}
PARTS = {"hinton": hinton, "orderings": orderings, "cost": cost}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Parts to run.")
@click.option(
    "--seed", "seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True, help="Nets."
)
@click.option("--quick", is_flag=True, help="One seed and few samples: a test that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(only, seeds, quick, out):
    """Measure what the JSON does not have yet, and print all of it."""
    report = json.loads(out.read_text()) if out and out.exists() else {}
    for part in only or PARTS:
        runs = report.setdefault(part, {})
        for seed in seeds[:1] if quick or part == "cost" else seeds:
            if str(seed) in runs:
                continue
            start = time.perf_counter()
            runs[str(seed)] = PARTS[part](seed, quick)
            runs[str(seed)]["seconds"] = round(time.perf_counter() - start, 1)
            print(f"{part}/{seed}: {json.dumps(runs[str(seed)])}", flush=True)
            _save(report, out)
    for line in _lines(summarise(report)):
        print(line)


def summarise(report) -> dict:
    """Means over seeds, and the share of the gap that distillation closes."""
    found = {}
    runs = list(report.get("hinton", {}).values())
    if runs:
        errors = {name: _mean([run["errors"][name] for run in runs]) for name in runs[0]["errors"]}
        found["hinton"] = errors
        gap = max(1, errors["plain"] - errors["teacher"])
        found["share of the gap closed"] = {
            name: round((errors["plain"] - errors[name]) / gap, 3)
            for name in errors
            if name.startswith("distilled")
        }
        unseen = [run["never seen"] for run in runs]
        found["never seen"] = {
            name: _mean([run[name] for run in unseen]) for name in PAPER_NEVER_SEEN
        }
    runs = list(report.get("orderings", {}).values())
    if runs:
        found["orderings"] = _orderings(runs)
    runs = list(report.get("cost", {}).values())
    if runs:
        found["cost"] = runs[0]
    return found


def _orderings(runs) -> dict:
    """Accuracies in percent, and each difference with its 95 % interval over the seeds."""
    names = [name for name in runs[0] if name != "seconds"]
    found = {name: _mean([100 * run[name] for run in runs]) for name in names}
    pairs = {
        "taught − alone": ("student taught", "student alone"),
        "by an assistant − taught": ("student by an assistant", "student taught"),
        "born again − first": ("born again 2", "first"),
        "ensemble − first": ("ensemble of the born", "first"),
    }
    for title, (one, other) in pairs.items():
        differences = [100 * (run[one] - run[other]) for run in runs]
        row = {"difference": _mean(differences)}
        if len(differences) > 1:
            error = statistics.stdev(differences) / len(differences) ** 0.5
            half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
            row["interval"] = [
                round(row["difference"] - half, 2),
                round(row["difference"] + half, 2),
            ]
        found[title] = row
    return found


def _mean(values) -> float:
    return round(statistics.mean(values), 3)


def _lines(summary) -> list[str]:
    lines = []
    for part, rows in summary.items():
        paper = {"hinton": PAPER, "never seen": PAPER_NEVER_SEEN}.get(part, {})
        for name, value in rows.items():
            beside = f"  (paper {paper[name]})" if name in paper else ""
            lines.append(f"{part}: {name} {json.dumps(value)}{beside}")
    return lines


def _save(report, out) -> None:
    whole = {"data": {"hinton": "MNIST", "orderings": "CIFAR-10 (JPEG)", "cost": "MNIST"}}
    whole |= {"paper": {"hinton": PAPER, "never seen": PAPER_NEVER_SEEN}}
    whole |= {"python": platform.python_version(), "processors": os.cpu_count()}
    save(whole | {"summary": summarise(report)} | report, out)


if __name__ == "__main__":
    main()
