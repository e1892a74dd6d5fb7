"""Puts a demo run's figures into README.md: `python benchmarks/readme_table.py demo/report.json`.

Keeps the figures, without raw samples, in `benchmarks/results/demo.json`; the README's table is
made from that file and from nothing else.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "demo.json"
BEGIN, END = "<!-- demo table -->", "<!-- end of demo table -->"
HEADER = (
    "| file | accuracy | bytes | gzip | zero weights | median (95 % interval) | peak memory |\n"
    "|---|--:|--:|--:|--:|--:|--:|"
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


def table(found: dict) -> str:
    """The README's table."""
    rows = [
        f"| {f['name']} | {f['accuracy']:.2%} | {f['bytes']:,} | {f['gzip_bytes']:,} "
        f"| {f['sparsity']:.1%} | {1000 * f['median_ms']:.1f} µs "
        f"({1000 * f['median_interval_ms'][0]:.1f}–{1000 * f['median_interval_ms'][1]:.1f}) "
        f"| {f['peak_memory_mb']:.1f} MB |"
        for f in found["files"]
    ]
    return "\n".join([HEADER, *rows])


def with_table(readme: str, found: dict) -> str:
    """`readme` with the table between the marks."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(found)}\n{END}{after}"


def main(report: str) -> None:
    """Digest the report and rewrite the table."""
    found = digest(json.loads(Path(report).read_text()))
    RESULT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(), found))


if __name__ == "__main__":
    main(sys.argv[1])
