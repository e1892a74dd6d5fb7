"""What device_bench's figures are worth: beside `litert-benchmark`, beside themselves, and planted.

    EDGEKIT_DATA=data python benchmarks/bench_trust.py --out benchmarks/results/bench_trust.json

`litert`: MLPerf Tiny's four int8 nets by edgekit (CompiledModel, 8 processes) and by the wheel's
own `litert-benchmark` (one process, 50 runs, as it comes; pinned like edgekit's), in turns, again
and again: whether medians agree, and how much each tool's own vary. Its JSON is rounded to 0.01 ms;
the digits are kept here.

`self`: a net against itself, a hundred times: how often "slower" or "faster" is said.

`planted`: ResNet-8's float net with an op more, which takes about 5 % more time, against the net:
how often it is found. Before, candidates are timed to choose one.

`arena`: the arena that `device="mcu"` reports, beside what tflite-micro prints on x86-64.

`profile`: rows of a profile, and what they leave of a run's time.

`harm`: models that crash, hang, leak or ask for 100 GB, beside a sound one.

Figures that the JSON has are not measured again; `--only` measures a part.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
from figures import data_folder, save

from device_bench import benchmark, profile
from device_bench.host.jobs import pinned_cores

ROOT = Path(__file__).resolve().parent.parent
NETS = ("resnet8", "kws", "vww", "ad01")
# As tflite-micro's own `print_allocations` has them on x86-64.
ARENAS = {"resnet8": 55_984, "kws": 24_272, "ad01": 3_984, "vww": 103_680}
_FAST = {"processes": 2, "seconds": 0.1}
_LITERT = """
import ai_edge_litert.tools.benchmark_litert_model as tool
tool.round = lambda value, digits=0: value
print(__import__("json").dumps(tool.run_benchmark(tool.parse_args())["latency"]))
"""


@click.command()
@click.option("--only", multiple=True, help="Parts to run.")
@click.option("--quick", is_flag=True, help="Few repetitions: a test that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(only, quick, out):
    """Measure what the JSON does not have yet, and print all of it."""
    parts = {
        "arena": arena,
        "profile": profiles,
        "harm": harm,
        "litert": litert,
        "planted": planted,
        "self": against_itself,
    }
    if unknown := set(only) - set(parts):
        raise SystemExit(f"no part {', '.join(unknown)}: there are {', '.join(parts)}")
    report = json.loads(out.read_text()) if out and out.exists() else {}
    for name in only or parts:
        if name in report:
            continue
        start = time.perf_counter()
        report[name] = parts[name](quick)
        report[name]["seconds"] = round(time.perf_counter() - start, 1)
        print(f"{name}: {json.dumps(report[name]['summary'])}", flush=True)
        save(report, out)


def nets() -> dict[str, Path]:
    """MLPerf Tiny's int8 files."""
    return {name: data_folder() / "mlperf_tiny" / f"{name}_int8.tflite" for name in NETS}


def litert(quick: bool) -> dict:
    """Medians of both tools, in turns."""
    repeats, mode = (2, _FAST) if quick else (10, {"seconds": 0.5})
    found = {name: {"edgekit": [], "litert-benchmark": []} for name in NETS}
    for _ in range(repeats):
        ours = benchmark(nets(), runtime="compiled", **mode)
        for name, path in nets().items():
            found[name]["edgekit"].append(ours[name].median_ms)
            found[name]["litert-benchmark"].append(_litert_median(path))
    summary = {}
    for name, tools in found.items():
        medians = {tool: statistics.median(values) for tool, values in tools.items()}
        variation = {
            tool: round(statistics.stdev(values) / statistics.mean(values), 4)
            for tool, values in tools.items()
        }
        ratio = medians["edgekit"] / medians["litert-benchmark"]
        summary[name] = {"ratio of medians": round(ratio, 4), "variation": variation}
    return {"summary": summary, "medians_ms": found}


def _litert_median(path: Path) -> float:
    cores = ",".join(map(str, pinned_cores(1)))
    command = ["taskset", "--cpu-list", cores, sys.executable, "-c", _LITERT, f"--model={path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])["median_ms"]


def against_itself(quick: bool) -> dict:
    """What is said of a net beside itself."""
    repeats = 2 if quick else 100
    said, ratios = [], []
    files = list(nets().items())
    for number in range(repeats):
        name, path = files[number % len(files)]
        mode = _FAST if quick else {"seconds": 0.2}
        result = benchmark({"a": path, "b": path}, seed=number, **mode)
        if errors := [row.error for row in result.measurements if row.error]:
            raise SystemExit(f"{name}, comparison {number}: {errors[0]}")
        said.append([name, result.verdict("b", "a")])
        ratios.append([result.ratio("b", "a").value, result.noise_floor])
    counts = Counter(verdict for _, verdict in said)
    different = counts["slower"] + counts["faster"]
    far = max(abs(ratio - 1) for ratio, _ in ratios)
    summary = {"comparisons": repeats, "different": different, "said": dict(counts)}
    summary["farthest"] = round(far, 4)
    return {"summary": summary, "verdicts": said, "ratios": ratios}


def planted(quick: bool) -> dict:
    """Whether 5 % more time are found."""
    with tempfile.TemporaryDirectory() as folder:
        plain, candidates = _candidates(Path(folder))
        mode = _FAST if quick else {"seconds": 0.5}
        timed = benchmark({"plain": plain, **candidates}, **mode)
        ratios = {name: timed.ratio(name, "plain").value for name in candidates}
        chosen = min(ratios, key=lambda name: abs(ratios[name] - 1.05))
        models, verdicts, found = {"plain": plain, "more": candidates[chosen]}, [], []
        for seed in range(2 if quick else 20):
            result = benchmark(models, seed=seed, **mode)
            ratio = result.ratio("more", "plain")
            verdicts.append(result.verdict("more", "plain"))
            found.append([ratio.value, ratio.low, ratio.high, result.noise_floor])
    summary = {
        "op": chosen,
        "median ratio": round(statistics.median(row[0] for row in found), 4),
        "comparisons": len(verdicts),
        "found slower": verdicts.count("slower"),
    }
    return {"summary": summary, "candidates": ratios, "verdicts": verdicts, "ratios": found}


def _candidates(folder: Path) -> tuple[Path, dict[str, Path]]:
    """ResNet-8 in float32, and the same with another small convolution near its end each."""
    import keras

    import edgekit as ek

    source = keras.models.load_model(data_folder() / "mlperf_tiny" / "resnet8.h5", compile=False)

    def made(name, filters):
        x = next(layer.input for layer in source.layers if "average_pooling" in layer.name)
        (outputs,) = source.outputs
        if filters:
            extra = keras.layers.Conv2D(filters, 1, padding="same", name="extra")(x)
            extra = keras.layers.GlobalAveragePooling2D(name="pool")(extra)
            extra = keras.layers.Dense(10, name="narrow")(extra)
            outputs = keras.layers.Add(name="both")([outputs, extra])
        model = keras.Model(source.inputs, outputs)
        return ek.convert(model, ["float32"])["float32"].save(folder / f"{name}.tflite")

    sizes = (16, 32, 64, 96, 128, 192, 256)
    return made("plain", 0), {f"conv 1x1, {n} filters": made(f"extra_{n}", n) for n in sizes}


def arena(quick: bool) -> dict:
    """Bytes that tflite-micro needs."""
    found = benchmark(nets(), device="mcu")
    sizes = {m.name: m.arena_bytes for m in found.measurements}
    equal = sum(sizes[name] == ARENAS[name] for name in NETS)
    return {"summary": {**sizes, "equal": f"{equal} of {len(NETS)}"}, **found.to_dict()}


def profiles(quick: bool) -> dict:
    """Sums of rows beside times of runs."""
    summary, rows = {}, {}
    for name, path in nets().items():
        for kernels in ("xnnpack", "builtin"):
            found = profile(path, kernels=kernels)
            summary[f"{name}, {kernels}"] = {
                "run_us": round(found.plain_us, 1),
                "rows_us": round(sum(row.microseconds for row in found.rows), 1),
                "residual_us": round(found.residual_us, 1),
                "residual_share": round(found.residual_us / found.plain_us, 3),
            }
            rows[f"{name}, {kernels}"] = found.to_dict()
    return {"summary": summary, "profiles": rows}


def harm(quick: bool) -> dict:
    """Rows of models that do harm, and of a sound one between them."""
    sys.path.insert(0, str(ROOT))
    from tests.device_bench import broken_models

    models = {
        "endless": broken_models.endless(),
        "immense": broken_models.immense(),
        "resnet8": nets()["resnet8"],
        "crashing": broken_models.crashing(),
        "leaking": broken_models.leaking(),
        "other outputs": broken_models.not_finite(),
    }
    result = benchmark(models, mode="quick", timeout=10)
    summary = {
        m.name: m.error or {"median_ms": round(m.median_ms, 4), "flags": result.flags(m.name)}
        for m in result.measurements
    }
    return {"summary": summary}


if __name__ == "__main__":
    main()
