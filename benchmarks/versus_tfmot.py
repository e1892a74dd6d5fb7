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
from versus_tables import tables

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


def _save(report, out) -> None:
    about = {"data": "MNIST; CIFAR-10 (JPEG)", "python": platform.python_version()}
    save({**about, "processors": os.cpu_count(), **report}, out)


if __name__ == "__main__":
    main()
