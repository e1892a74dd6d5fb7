"""Weight clustering beside TensorFlow Model Optimization (TFMOT): time, memory, error, steps.

    python benchmarks/clustering.py --out benchmarks/results/clustering.json

A Dense layer of 1024×1024 normal weights; each measurement in a process of its own, the two engines
in turn, TFMOT with tf_keras. `apply` is from float weights to clustered ones; its error is that of
the weights over their variance, beside the least there is (Max 1960). `steps` are ratios to a plain
step in the same process, whole steps of `fit` at batch 64; `predict` a call of the trained model.
Needs the extra `tfmot`.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from figures import save
from pruning_engines import environment

HERE = Path(__file__).parent
ENGINES = ("edgekit", "tfmot")
# Max 1960, "Quantizing for minimum distortion", table I.
OPTIMUM = {8: 0.03454, 16: 0.009497, 32: 0.002499}


@click.command()
@click.option("--processes", default=3, show_default=True, help="Of each engine and measurement.")
@click.option("--rounds", default=4, show_default=True, help="Rounds of 100 steps per process.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(processes, rounds, out):
    """Measure, print, save."""
    runs = {}
    for number in range(processes):
        for engine in ENGINES:
            for clusters in (8, 16, 32, 256):
                for init in ("linear", "kmeans++"):
                    _run(runs, number, engine, "apply", clusters, "--init", init)
            for clusters in (16, 256):
                _run(runs, number, engine, "steps", clusters, "--rounds", str(rounds))
                _run(runs, number, engine, "predict", clusters)
    summary = summarise(runs)
    whole = {
        "python": platform.python_version(),
        "optimum": OPTIMUM,
        "summary": summary,
        "runs": runs,
    }
    save(whole, out)
    for name, found in summary.items():
        print(name, json.dumps(found))


def _run(runs, number, engine, what, clusters, *options) -> None:
    command = [sys.executable, str(HERE / "clustering_worker.py"), engine, what]
    command += ["--clusters", str(clusters), *options]
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            command, env=environment(engine), stdout=subprocess.PIPE, stderr=errors, text=True
        )
        if done.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command[1:])} failed:\n{errors.read()[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    key = " ".join([what, str(clusters), *(options[1:] if what == "apply" else ())])
    runs.setdefault(key, {}).setdefault(engine, []).append(found)
    print(f"{key} {engine} {number + 1}: {json.dumps(found)[:160]}", flush=True)


def summarise(runs) -> dict:
    """Medians over processes; of steps, over all rounds."""
    summary = {}
    for key, engines in runs.items():
        what, clusters = key.split()[:2]
        found = summary[key] = {}
        for engine, results in engines.items():
            if what == "steps":
                ratios = [ratio for r in results for ratio in r["wall"]["clustered"]]
                quartiles = statistics.quantiles(ratios, n=4)
                found[engine] = {
                    "ratio": round(statistics.median(ratios), 3),
                    "quartiles": [round(quartiles[0], 3), round(quartiles[2], 3)],
                }
            elif what == "predict":
                found[engine] = {"ratio": statistics.median(r["ratio"] for r in results)}
            else:
                found[engine] = {
                    name: statistics.median(r[name] for r in results)
                    for name in ("seconds", "peak_mb", "distinct", "error")
                }
                if int(clusters) in OPTIMUM:
                    above = found[engine]["error"] / OPTIMUM[int(clusters)]
                    found[engine]["above_optimum"] = round(above, 4)
        if what == "apply" and len(found) == 2:
            ours, theirs = found["edgekit"], found["tfmot"]
            found["times_faster"] = round(theirs["seconds"] / ours["seconds"], 1)
            found["share_of_memory"] = round(ours["peak_mb"] / theirs["peak_mb"], 3)
    return summary


if __name__ == "__main__":
    main()
