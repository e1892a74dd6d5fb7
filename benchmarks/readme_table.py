"""Puts measured figures into README.md: `python benchmarks/readme_table.py demo/report.json`.

Keeps the demo's figures, without raw samples, in `benchmarks/results/demo.json`. The README's
tables are made from the files in that folder and from nothing else.
"""

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DEMO_HEADER = (
    "| file | accuracy | bytes | gzip | zero weights | median (95 % interval) | peak memory |\n"
    "|---|--:|--:|--:|--:|--:|--:|"
)
QAT_HEADER = "| ResNet-8, CIFAR-10 | top-1 in LiteRT | against float | bytes |\n|---|--:|--:|--:|"

TINY_HEADER = (
    "| MLPerf Tiny | int8 bytes (against reference) | signal to noise | the reference's |\n"
    "|---|--:|--:|--:|"
)


def digest(report: dict) -> dict:
    """The figures of a demo's `report.json` that the README shows."""
    timings = {m["name"]: m for m in report["benchmark"]["measurements"]}
    kept = ("name", "accuracy", "bytes", "gzip_bytes", "sparsity")
    timed = ("median_ms", "median_interval_ms", "peak_memory_mb")
    return {
        "seed": report["seed"],
        "held_out_samples": report["held_out_samples"],
        "processor": report["benchmark"]["host"]["processor"],
        "checks": report["checks"],
        "files": [
            {key: f[key] for key in kept} | {key: timings[f["name"]][key] for key in timed}
            for f in report["files"]
        ],
    }


def demo_table(found: dict) -> str:
    """The table of the demo's files."""
    rows = [
        f"| {f['name']} | {f['accuracy']:.2%} | {f['bytes']:,} | {f['gzip_bytes']:,} "
        f"| {f['sparsity']:.1%} | {1000 * f['median_ms']:.1f} µs "
        f"({1000 * f['median_interval_ms'][0]:.1f}–{1000 * f['median_interval_ms'][1]:.1f}) "
        f"| {f['peak_memory_mb']:.1f} MB |"
        for f in found["files"]
    ]
    return "\n".join([DEMO_HEADER, *rows])


def qat_table(accuracy: dict, cost: dict) -> str:
    """The table of accuracies over seeds, and what a training step costs."""
    rows = []
    for name in accuracy["seeds"][0]:
        found = [100 * seed[name]["litert"] for seed in accuracy["seeds"]]
        change = [100 * (s[name]["litert"] - s["float"]["litert"]) for s in accuracy["seeds"]]
        rows.append(
            f"| {name} | {statistics.mean(found):.2f} ± {statistics.stdev(found):.2f} % "
            f"| {statistics.mean(change):+.2f} points | {accuracy['seeds'][0][name]['bytes']:,} |"
        )
    ours, theirs = cost["summary"]["edgekit"], cost["summary"]["tfmot"]
    line = (
        f"A quantisation-aware step takes {ours['step_ratio']:.2f} times a plain one, TensorFlow\n"
        f"Model Optimization's {theirs['step_ratio']:.2f} times; wrapping takes "
        f"{ours['wrap_seconds']:.1f} s against {theirs['wrap_seconds']:.1f} s."
    )
    return "\n".join([QAT_HEADER, *rows, "", line])


def conversion_table(convert: dict, tiny: dict, posttraining: dict, equalization: dict) -> str:
    """What a conversion costs and keeps."""
    seconds = {side: statistics.median(found) for side, found in convert["seconds"].items()}
    ours, theirs = (len(convert["formats"][side]) for side in ("edgekit", "tensorflow"))
    found, mean = posttraining["figures"], equalization["mean"]
    rows = [
        f"| {net} | {kept['bytes']['edgekit']:,} ({100 * kept['more_bytes']:+.1f} %) "
        f"| {kept['decibel']['edgekit']:.1f} dB | {kept['decibel']['reference']:.1f} dB |"
        for net, kept in tiny.items()
    ]
    lines = [
        f"MobileNetV2 in {ours} formats takes {seconds['edgekit']:.0f} s in one call; TensorFlow's "
        f"converter takes {seconds['tensorflow']:.0f} s for the",
        f"{theirs} it knows, called once for each. MLPerf Tiny's nets in int8, from their float "
        "files; signal to noise",
        "is against these, on CIFAR-10 images for resnet8 and on seeded values for the others:",
        "",
        TINY_HEADER,
        *rows,
        "",
        "Without retraining, ResNet-8 with 4-bit weights has "
        f"{found['adaround int4']['accuracy']:.1%} top-1 after adaptive rounding",
        f"(float {found['float']['accuracy']:.1%}), where rounding to the nearest leaves "
        f"{found['nearest int4']['accuracy']:.1%}. A depthwise net whose channels",
        f"differ {equalization['settings']['imbalance']:.0f} times in size has "
        f"{mean['per tensor, naive']:.1%} in int8 with a scale per tensor, and "
        f"{mean['per tensor, bias corrected too']:.1%} once",
        f"equalised (float {mean['float']:.1%}).",
    ]
    return "\n".join(lines)


def with_tables(readme: str) -> str:
    """`readme` with its tables as the result files say."""
    found = {p.stem: json.loads(p.read_text()) for p in RESULTS.glob("*.json")}
    readme = _between(readme, "demo table", demo_table(found["demo"]))
    readme = _between(readme, "qat table", qat_table(found["qat_accuracy"], found["qat"]))
    conversion = (
        found[name] for name in ("convert", "mlperf_tiny", "posttraining", "equalization")
    )
    return _between(readme, "conversion table", conversion_table(*conversion))


def _between(readme: str, mark: str, text: str) -> str:
    before, rest = readme.split(f"<!-- {mark} -->")
    after = rest.split(f"<!-- end of {mark} -->")[1]
    return f"{before}<!-- {mark} -->\n{text}\n<!-- end of {mark} -->{after}"


def main(report: str | None = None) -> None:
    """Digest the demo's report, if one is given, and rewrite the tables."""
    if report:
        found = digest(json.loads(Path(report).read_text()))
        (RESULTS / "demo.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
