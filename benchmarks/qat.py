"""What quantization-aware training costs, beside TensorFlow Model Optimization (TFMOT).

    python benchmarks/qat.py --out benchmarks/results/qat.json

The same nets, data and optimizer in Keras 3 with edgekit and in tf_keras with TFMOT, each in
processes of its own, by turns (`qat_worker.py`). Of each net: a step of the quantization-aware
model beside one of the plain model, in rounds of ten steps that alternate; the first step, with
all that is built and traced for it; wrapping; and conversion to int8, of the plain model with 16
samples. Needs the extra `tfmot`. Takes about a quarter of an hour; `--quick` looks whether it runs.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
from figures import save
from qat_worker import ENGINES, NETS

WORKER = Path(__file__).with_name("qat_worker.py")


@click.command()
@click.option("--net", "nets", type=click.Choice(list(NETS)), multiple=True, default=list(NETS))
@click.option("--processes", default=1, show_default=True, help="Processes per engine and net.")
@click.option(
    "--repeats", default=3, show_default=True, help="First steps and conversions in each."
)
@click.option("--rounds", default=20, show_default=True, help="Rounds of ten steps in each.")
@click.option("--quick", is_flag=True, help="One process, one repeat and two rounds.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(nets, processes, repeats, rounds, quick, out):
    """Measure both engines in turn."""
    if quick:
        processes, repeats, rounds = 1, 1, 2
    begin = time.perf_counter()
    runs = {net: {engine: [] for engine in ENGINES} for net in nets}
    for number in range(processes):
        for net in nets:
            for engine in ENGINES:
                found = _in_process(engine, net, repeats, rounds)
                runs[net][engine].append(found)
                line = _line(_summarized([found]))
                print(f"{engine:8s} {net:13s} {number + 1}/{processes}: {line}", flush=True)
    summary = {
        net: {engine: _summarized(found) for engine, found in of_net.items()}
        for net, of_net in runs.items()
    }
    for net, of_net in summary.items():
        for engine, figures in of_net.items():
            print(f"{engine:8s} {net:13s} {_line(figures)}")
    print(f"took {time.perf_counter() - begin:.0f} s")
    host = {"host": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    save({**host, "summary": summary, "runs": runs}, out)


def _in_process(engine: str, net: str, repeats: int, rounds: int) -> dict:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if engine == "tfmot":
        environment["TF_USE_LEGACY_KERAS"] = "1"
    options = ["--repeats", str(repeats), "--rounds", str(rounds)]
    command = [sys.executable, str(WORKER), engine, net, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine}, {net} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _summarized(runs: list[dict]) -> dict:
    """Medians over processes; ratios are those of what ran side by side."""
    ratios = [ratio for run in runs for ratio in run["step_ratios"]]
    figures = {
        "step_ratio": round(statistics.median(ratios), 3),
        "step_ratio_quartiles": [round(q, 3) for q in statistics.quantiles(ratios, n=4)[::2]],
        "wrap_seconds": round(statistics.median(s for run in runs for s in run["wrap_seconds"]), 3),
    }
    for what in ("first_step", "convert"):
        seconds = {
            name: statistics.median(s for run in runs for s in run[f"{what}_seconds"][name])
            for name in ("plain", "qat")
        }
        figures[f"{what}_seconds"] = {name: round(value, 2) for name, value in seconds.items()}
        figures[f"{what}_ratio"] = round(seconds["qat"] / seconds["plain"], 3)
    return {**figures, "bytes": runs[0]["bytes"], "peak_mb": max(run["peak_mb"] for run in runs)}


def _line(figures: dict) -> str:
    first, convert = figures["first_step_seconds"], figures["convert_seconds"]
    return (
        f"step {figures['step_ratio']:.3f} ×, "
        f"first step {first['qat']:.1f} s ({figures['first_step_ratio']:.2f} ×), "
        f"wrap {figures['wrap_seconds']:.2f} s, "
        f"convert {convert['qat']:.1f} s ({figures['convert_ratio']:.2f} × plain), "
        f"{figures['bytes']['qat']:,} bytes"
    )


if __name__ == "__main__":
    main()
