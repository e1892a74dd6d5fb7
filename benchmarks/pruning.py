"""Gradual pruning beside TensorFlow Model Optimization (TFMOT): time per step, and accuracy.

    EDGEKIT_DATA=data python benchmarks/pruning.py --out benchmarks/results/pruning.json

Both engines prune the same dense weights with the same optimizer, learning rates, epochs and
cubic schedule of mask updates, TFMOT in processes of its own with tf_keras: LeNet-300-100 and
LeNet-5 on MNIST, MLPerf Tiny's pretrained ResNet-8 on CIFAR-10 (JPEG), which is first fine-tuned to
those images; `resnet8_long` trains that for six times as many epochs, `resnet8_longer` for fifteen
times. TFMOT makes an n:m pattern at once in the first step whatever the schedule, so edgekit does
it in both ways: `2:4` by the schedule, `2:4 once` like TFMOT. `80 global` ranks all kernels
together. `base` is the net that pruning starts from, and that teaches those that are `taught`;
those that are `inner` keep the first and the last kernel whole; `0` is the same net trained on
without pruning, by the recipe of the pruned ones. The time per step is that of ResNet-8 in `fit`
(pruning_steps.py), the accuracies are of held-out images (pruning_cells.py); the pretrained
ResNet-8 has seen those in another compression.

Each figure goes to the JSON at once, and figures that are there are not measured again: a run that
was stopped goes on. Seeds are trained side by side, one on each processor: a small net trains at
half the pace on one as on two. `--only steps` or `--only resnet8` measures a part. Needs the extra
`tfmot`.
"""

import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import product
from pathlib import Path

import click
from figures import save
from fit_turns import ROUND
from pruning_cells import RECIPES
from pruning_engines import ENGINES, Target, environment, measured
from pruning_steps import BATCH, VARIANTS

HERE = Path(__file__).parent
_SAVING = threading.Lock()


@click.command()
@click.option("--only", multiple=True, type=click.Choice(["steps", *RECIPES]), help="Parts to run.")
@click.option("--rounds", default=8, show_default=True, help="Rounds of 100 steps per process.")
@click.option("--processes", default=3, show_default=True, help="Timed processes per engine.")
@click.option("--seeds", default=3, show_default=True, help="Nets per engine and sparsity.")
@click.option(
    "--targets", default="80,2:4,2:4 once,80 global,50,90,95", show_default=True, help="Sparsities."
)
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Seeds trained at once.")
@click.option("--weights", type=click.Path(path_type=Path), help="Folder for the dense weights.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(only, rounds, processes, seeds, targets, jobs, weights, out):
    """Measure what the JSON does not have yet, and print all of it."""
    weights = weights or Path(tempfile.gettempdir()) / "pruning_benchmark"
    weights.mkdir(exist_ok=True)
    report = json.loads(out.read_text()) if out and out.exists() else {"steps": {}, "cells": {}}
    parts = only or ["steps", *RECIPES]
    if "steps" in parts:
        _time(report, rounds, processes, out)
    nets = [part for part in RECIPES if part in parts]
    processors = queue.SimpleQueue()
    for number in range(jobs):
        processors.put(number % os.cpu_count())
    with ThreadPoolExecutor(jobs) as pool:
        done = [
            pool.submit(_train, report, net, seed, targets.split(","), weights, out, processors)
            for net, seed in product(nets, range(seeds))
        ]
        for job in done:
            job.result()
    _report(report)


def _time(report, rounds, processes, out) -> None:
    for number in range(processes):
        for engine in ENGINES:
            runs = report["steps"].setdefault(engine, [])
            if len(runs) <= number:
                arguments = ["pruning_steps.py", engine, "--rounds", str(rounds)]
                runs.extend(worker_lines(engine, arguments))
                _save(report, out)
                print(f"{engine} {number + 1}/{processes}: {json.dumps(runs[-1])}", flush=True)


def _train(report, net, seed, targets, weights, out, processors) -> None:
    processor = processors.get()
    stored = (weights / f"{net}_{seed}.npz").exists()
    for engine in ENGINES:
        cells = report["cells"].setdefault(f"{net}/{seed}/{engine}", {})
        # TFMOT has no part in the dense nets; a base whose weights are gone is trained again.
        wanted = ["base", "0"] if engine == "edgekit" else []
        wanted += [t for t in targets if measured(engine, Target.parse(t))]
        missing = [t for t in wanted if t not in cells]
        if missing and engine == "edgekit" and not stored and "base" not in missing:
            missing.insert(0, "base")
        if missing:
            arguments = ["pruning_cells.py", engine, net, "--seed", str(seed)]
            arguments += ["--targets", ",".join(missing), "--weights", str(weights)]
            for cell in worker_lines(engine, arguments, processor):
                print(f"{net}/{seed}/{engine}: {json.dumps(cell)}", flush=True)
                with _SAVING:
                    cells[cell.pop("target")] = cell
                    _save(report, out)
    processors.put(processor)


def worker_lines(engine, arguments, processor=None):
    """The JSON lines that a worker prints, each as it comes; on one processor, or on all."""
    command = [sys.executable, str(HERE / arguments[0]), *arguments[1:]]
    settings = environment(engine)
    if processor is not None:
        command = ["taskset", "--cpu-list", str(processor), *command]
        settings |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as errors:
        worker = subprocess.Popen(
            command, env=settings, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        for line in worker.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        if worker.wait():
            errors.seek(0)
            raise SystemExit(f"{' '.join(arguments)} failed:\n{errors.read()[-2000:]}")


def summarise(report) -> dict:
    """Ratios over all rounds; mean and deviation of accuracy over seeds."""
    summary = {"steps": {}, "accuracy": {}}
    for engine, runs in report["steps"].items():
        for name, clock in product(list(VARIANTS)[1:], ("wall", "cpu")):
            ratios = [ratio for run in runs for ratio in run[clock][name]]
            quartiles = statistics.quantiles(ratios, n=4)
            found = {"ratio": round(statistics.median(ratios), 3)}
            found["quartiles"] = [round(quartiles[0], 3), round(quartiles[2], 3)]
            found["processes"] = [round(statistics.median(run[clock][name]), 3) for run in runs]
            summary["steps"].setdefault(f"{name}, {clock}", {})[engine] = found
    grouped = {}
    for key, cells in report["cells"].items():
        net, seed, engine = key.split("/")
        for target, cell in cells.items():
            grouped.setdefault((net, target, engine), {})[seed] = cell
    for (net, target, engine), by_seed in grouped.items():
        cells = list(by_seed.values())
        values = [100 * cell["accuracy"] for cell in cells]
        found = {"accuracy": round(statistics.mean(values), 2), "seeds": len(cells)}
        found["deviation"] = round(statistics.stdev(values), 2) if len(values) > 1 else None
        found["sparsity"] = sorted({round(cell["sparsity"], 6) for cell in cells})
        for reference in ("base", "0"):
            dense = grouped.get((net, reference, "edgekit"), {})
            lost = [
                100 * (cell["accuracy"] - dense[seed]["accuracy"])
                for seed, cell in by_seed.items()
                if seed in dense and target not in ("base", "0")
            ]
            if lost:
                found[f"against {reference}"] = round(statistics.mean(lost), 2)
        if all("litert" in cell for cell in cells):
            litert = [100 * cell["litert"]["accuracy"] for cell in cells]
            found["litert"] = round(statistics.mean(litert), 2)
        summary["accuracy"].setdefault(net, {}).setdefault(target, {})[engine] = found
    return summary


def _save(report, out) -> None:
    recipes = {}
    for name, recipe in RECIPES.items():
        settings = asdict(recipe)
        recipes[name] = {k: v for k, v in settings.items() if not callable(v)}
    whole = {
        "data": {n: "MNIST" if n.startswith("lenet") else "CIFAR-10 (JPEG)" for n in RECIPES},
        "python": platform.python_version(),
        "recipes": recipes,
        "timing": {"net": "ResNet-8", "batch": BATCH, "steps_per_round": ROUND},
        "summary": summarise(report),
        "steps": report["steps"],
        "cells": report["cells"],
    }
    save(whole, out)


def _report(report) -> None:
    for part, rows in summarise(report).items():
        for name, columns in rows.items():
            for column, figures in columns.items():
                print(part, name, column, json.dumps(figures))


if __name__ == "__main__":
    main()
