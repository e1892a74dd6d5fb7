"""edgekit beside TensorFlow Model Optimization (TFMOT), from the same nets to int8 files.

    EDGEKIT_DATA=data python benchmarks/versus_tfmot.py --out benchmarks/results/versus_tfmot.json

`cells`: LeNet-5 on MNIST and MLPerf Tiny's ResNet-8 on CIFAR-10 (JPEG), both engines from the same
dense weights with the same data, seeds, epochs, optimizer and rates: float, quantisation-aware
training, pruning, clustering, and quantisation-aware training that keeps zeros (PQAT) or shared
values (CQAT). Accuracy in Keras and of the int8 file in LiteRT, its bytes raw and gzipped. TFMOT is
used through `ek.tfmot`, which closes its traps, and its models go through TensorFlow's converter.
The pretrained ResNet-8 has seen the held-out images in another compression, for both alike.

`steps`: what each adds to a train step of ResNet-8. `faults`: which of TFMOT 0.8.1's faults either
shows, TFMOT used as its guides say.

Each figure goes to the JSON at once, and figures that are there are not measured again. Engines run
in processes of their own. `--only` and `--net` measure a part; `--quick` shows that all of it runs.
Needs the extra `tfmot`.
"""

import json
import os
import platform
import queue
import statistics
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import click
from figures import save
from pruning import worker_lines
from versus_cells import CELLS, NETS
from versus_engines import ENGINES

FAULTS = {
    1: "clustering a model freezes BatchNormalization and switches Dropout off",
    2: "clustering per channel skips Conv2D without bias",
    3: "clustering breaks the model it was given",
    4: "a clustered layer diverges at the rate that trained it",
    5: "density-based clusters are fewer than asked for",
    6: "k-means++ clusters are far from the best ones (error 0.0095)",
    7: "ranges of activations start at ±6 and take thousands of steps",
    8: "a quantizer of 4 bits has 256 levels",
    9: "a fit of under 100 steps prunes nothing, silently",
    10: "checkpoints are not sparse",
    11: "weights of equal size miss the sparsity asked for (50 %)",
    12: "an n:m pattern is lost when a model is loaded",
    13: "zeros are lost in quantisation-aware training once it is loaded",
    14: "a quantisation-aware `.keras` file does not load",
    15: "no mixed precision",
    16: "importing it changes `tf.keras` for the whole process",
    17: "a model of Keras 3 is turned away without a word",
    18: "a forgotten callback goes unnoticed (UpdatePruningStep; KeepSparsity)",
    19: "a quantisation-aware ResNet50 (64×64) does not run in LiteRT",
}
_SAVING = threading.Lock()


@click.command()
@click.option("--only", multiple=True, type=click.Choice(["cells", "steps", "faults"]))
@click.option("--net", "nets", multiple=True, type=click.Choice(list(NETS)), default=list(NETS))
@click.option("--seeds", default=3, show_default=True, help="Nets per engine.")
@click.option("--rounds", default=8, show_default=True, help="Rounds of 100 steps per process.")
@click.option("--processes", default=3, show_default=True, help="Timed processes per engine.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Nets trained at once.")
@click.option("--weights", type=click.Path(path_type=Path), help="Folder for nets to go on from.")
@click.option("--quick", is_flag=True, help="Few samples: a test that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(only, nets, seeds, rounds, processes, jobs, weights, quick, out):
    """Measure what the JSON does not have yet, and print the tables."""
    if quick and out and out.exists():
        raise SystemExit(f"{out} exists: a quick run's figures are not to be mixed with others")
    folder = "versus_benchmark_quick" if quick else "versus_benchmark"
    weights = weights or Path(tempfile.gettempdir()) / folder
    weights.mkdir(exist_ok=True)
    report = json.loads(out.read_text()) if out and out.exists() else {}
    for part in ("cells", "steps", "faults"):
        report.setdefault(part, {})
    parts = only or ("faults", "steps", "cells")
    if "faults" in parts:
        for engine in ENGINES:
            if engine not in report["faults"]:
                (found,) = worker_lines(engine, [f"versus_faults_{engine}.py"])
                report["faults"][engine] = found
                _save(report, out)
    if "steps" in parts:
        for _, engine in product(range(1 if quick else processes), ENGINES):
            runs = report["steps"].setdefault(engine, [])
            if len(runs) < processes:
                arguments = ["versus_steps.py", engine, "--rounds", str(1 if quick else rounds)]
                runs.extend(worker_lines(engine, arguments))
                _save(report, out)
    if "cells" in parts:
        _train_all(report, nets, 1 if quick else seeds, jobs, weights, quick, out)
    for title, lines in tables(report).items():
        print(f"\n{title}\n", *lines, sep="\n")


def _train_all(report, nets, seeds, jobs, weights, quick, out) -> None:
    processors = queue.SimpleQueue()
    for number in range(jobs):
        processors.put(number % os.cpu_count())

    def train(net, seed):
        processor = processors.get()
        try:
            train_on(processor, net, seed)
        finally:
            processors.put(processor)

    def train_on(processor, net, seed):
        base = weights / f"{net}_{seed}_base.npz"
        for engine in ENGINES:
            key = f"{net}/{seed}/{engine}"
            cells = report["cells"].setdefault(key, {})
            missing = [name for name in CELLS if name not in cells]
            if engine == "edgekit" and (missing or not base.exists()):
                missing = missing if base.exists() else ["base", *missing]
            if not missing:
                continue
            arguments = ["versus_cells.py", engine, net, "--seed", str(seed)]
            arguments += ["--cells", ",".join(missing), "--weights", str(weights)]
            for found in worker_lines(engine, arguments + ["--quick"] * quick, processor):
                print(f"{key}: {json.dumps(found)}", flush=True)
                with _SAVING:
                    cells[found.pop("cell")] = found
                    _save(report, out)

    with ThreadPoolExecutor(jobs) as pool:
        for job in [pool.submit(train, *each) for each in product(nets, range(seeds))]:
            job.result()


def tables(report) -> dict[str, list[str]]:
    """`{title: lines of a Markdown table}`."""
    found = {}
    for net in NETS:
        keys = [key for key in report["cells"] if key.startswith(f"{net}/")]
        if keys:
            found[net] = _cells_table(report["cells"], net)
    if report["steps"]:
        found["steps"] = _steps_table(report["steps"])
    if report["faults"]:
        found["faults"] = _faults_table(report["faults"])
    return found


def _cells_table(cells, net) -> list[str]:
    """A row per technique, each figure as edgekit / TFMOT, over the seeds that both have.

    Bold is what is better by more than the two deviations together.
    """
    header = ("", "top-1 in Keras", "top-1 of the int8 file", "bytes", "gzip", "float ops")
    lines = [_row(header), _row(("---", *["--:"] * (len(header) - 1)))]
    for name in CELLS:
        seeds = [
            seed
            for seed in sorted({key.split("/")[1] for key in cells if key.startswith(f"{net}/")})
            if all(name in cells.get(f"{net}/{seed}/{engine}", {}) for engine in ENGINES)
        ]
        if not seeds:
            continue
        by_engine = {e: [cells[f"{net}/{seed}/{e}"][name] for seed in seeds] for e in ENGINES}
        figures = [name]
        for key, best, text in (
            ("keras", max, lambda v, d: f"{100 * v:.2f} ± {100 * d:.2f} %"),
            ("int8", max, lambda v, d: f"{100 * v:.2f} ± {100 * d:.2f} %"),
            ("bytes", min, lambda v, d: f"{v:,.0f}"),
            ("gzip", min, lambda v, d: f"{v:,.0f}"),
        ):
            values = [[cell[key] for cell in runs] for runs in by_engine.values()]
            means = [statistics.mean(v) for v in values]
            spreads = [statistics.stdev(v) if len(v) > 1 else 0.0 for v in values]
            texts = [text(*pair) for pair in zip(means, spreads, strict=True)]
            if abs(means[0] - means[1]) > sum(spreads):
                winner = means.index(best(means))
                texts[winner] = f"**{texts[winner]}**"
            figures.append(" / ".join(texts))
        floats = [max(len(c["float_ops"]) for c in runs) for runs in by_engine.values()]
        figures.append(" / ".join(map(str, floats)))
        lines.append(_row(figures))
    return lines


def _steps_table(steps) -> list[str]:
    """Milliseconds, and the ratio to the same engine's plain step."""
    lines = [_row(("a train step, ms (over plain)", *ENGINES)), _row(("---", "--:", "--:"))]
    for name in next(iter(steps.values()))[0]["wall"]["step_ms"]:
        cells = []
        for runs in steps.values():
            step = statistics.median(run["wall"]["step_ms"][name] for run in runs)
            ratios = [ratio for run in runs for ratio in run["wall"].get(name, [])]
            over = f" ({statistics.median(ratios):.2f})" if ratios else ""
            cells.append(f"{step:.1f}{over}")
        lines.append(_row((name, *cells)))
    return lines


def _faults_table(faults) -> list[str]:
    lines = [_row(("fault", "TFMOT", "edgekit")), _row(("---", "---", "---"))]
    for number, title in FAULTS.items():
        cells = []
        for engine in ("tfmot", "edgekit"):
            shown, seen = faults[engine][str(number)]
            cells.append(f"{'shown' if shown else 'not shown'}: {seen}")
        lines.append(_row((f"{number}. {title}", *cells)))
    return lines


def _row(cells) -> str:
    return f"| {' | '.join(cells)} |"


def _save(report, out) -> None:
    about = {"data": "MNIST; CIFAR-10 (JPEG)", "python": platform.python_version()}
    save({**about, "processors": os.cpu_count(), **report}, out)


if __name__ == "__main__":
    main()
