"""Puts measured figures into README.md and docs/: `python benchmarks/document_tables.py`.

Their tables are made from the files in `benchmarks/results` and from nothing else. The demo's
figures, without raw samples, are put there from its report if one is named: `demo/report.json`.
"""

import json
import statistics
import sys
from pathlib import Path

from versus_tables import tables as versus_tables

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

PRUNING_NETS = {"lenet_300_100": "LeNet-300-100", "lenet_5": "LeNet-5", "resnet8": "ResNet-8"}

PACKING_HEADER = (
    "| net | setting | times smaller | the paper | by `xz -9e` | errors |\n"
    "|---|---|--:|--:|--:|---|"
)
TRUST_HEADER = (
    "| int8 net | median over litert-benchmark's | varies by | litert-benchmark's by "
    "| arena, bytes | residual of a profile, XNNPACK / builtin |\n|---|--:|--:|--:|--:|--:|"
)
DISTILLATION_HEADER = "| MNIST, errors of 10,000 | found | the paper |\n|---|--:|--:|"
ORDERINGS_HEADER = "| ResNet-8 on CIFAR-10 | top-1 |\n|---|--:|"
DEEP_PAPER = {"lenet_300_100": "40", "lenet_5": "39"}


def digest(report: dict) -> dict:
    """The figures of a demo's `report.json` that the README shows."""
    timings = {m["name"]: m for m in report["benchmark"]["measurements"]}
    kept = ("name", "accuracy", "bytes", "gzip_bytes", "sparsity")
    timed = ("median_ms", "median_interval_ms", "peak_memory_bytes")
    return {
        "seed": report["seed"],
        "held_out_samples": report["held_out_samples"],
        "processor": report["benchmark"]["host"]["processor"],
        "noise_floor": report["benchmark"]["noise_floor"],
        "cautions": [
            f"{m['name']}: {flag}"
            for m in report["benchmark"]["measurements"]
            for flag in m["flags"]
        ],
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
        f"| {f['peak_memory_bytes'] / 1e6:.1f} MB |"
        for f in found["files"]
    ]
    lines = [DEMO_HEADER, *rows]
    if "noise_floor" in found:
        floor, many = found["noise_floor"], len(found["cautions"])
        said = "no figure calls for caution" if not many else f"{many} cautions are in the report"
        lines += ["", f"The first file against itself came out within ±{floor:.1%}; {said}."]
    return "\n".join(lines)


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
    ours, theirs = cost["summary"]["mobilenet_v2"].values()
    line = (
        f"A quantization-aware step of MobileNetV2 takes {ours['step_ratio']:.2f} times a plain "
        f"one, the first\nstep {ours['first_step_ratio']:.2f} times and conversion "
        f"{ours['convert_ratio']:.2f} times; with TensorFlow Model Optimization\n"
        f"{theirs['step_ratio']:.2f}, {theirs['first_step_ratio']:.2f} and "
        f"{theirs['convert_ratio']:.2f} times."
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


def pruning_table(pruning: dict, tickets: dict, sparse: dict) -> str:
    """Accuracy by sparsity, what a step costs, tickets, and sparse files."""
    steps, accuracy = pruning["summary"]["steps"], pruning["summary"]["accuracy"]
    nets = [
        net for net in PRUNING_NETS if any("tfmot" in f for f in accuracy.get(net, {}).values())
    ]
    names = " | ".join(f"{PRUNING_NETS[net]} (TFMOT)" for net in nets)
    rows = [f"| zero weights | {names} |", "|---|" + "--:|" * len(nets)]
    for target in ("0", "50", "80", "90", "95", "2:4 once"):
        cells = []
        for net in nets:
            found = dict(accuracy[net].get(target, {}))
            # TFMOT makes patterns at once, and calls that by no name.
            found |= {"tfmot": accuracy[net]["2:4"]["tfmot"]} if found and ":" in target else {}
            cells.append(_beside(found) if found else "–")
        name = "2:4, at once" if ":" in target else f"{target} %"
        rows.append(f"| {name} | {' | '.join(cells)} |")
    often, each = steps["every 100 steps, wall"], steps["every step, wall"]
    small = next(
        case
        for case in sparse["cases"]
        if (case["net"], case["format"], case["zeros"])
        == ("mobilenet, padding same", "float32", 0.9)
    )
    left = [share for share, found in tickets["summary"].items() if "controls" in found]
    won = [
        f"{share} of the weights {100 * kinds['tickets']['last epoch'][0]:.2f} % against "
        f"{100 * kinds['controls']['last epoch'][0]:.2f} %"
        for share, kinds in ((s, tickets["summary"][s]) for s in (left[1], left[-1]))
    ]
    lines = [
        f"A train step with masks updated every 100 steps takes {often['edgekit']['ratio']:.3f} "
        f"times a plain one (TFMOT {often['tfmot']['ratio']:.3f}),",
        f"updated at every step {each['edgekit']['ratio']:.3f} times "
        f"({each['tfmot']['ratio']:.3f}). Lottery tickets of LeNet-300-100 against the same masks",
        f"on new random weights: with {won[0]};",
        f"with {won[1]}. A MobileNet with 90 % zeros takes {small['sparse_bytes'] / 1e6:.2f} MB",
        f"as a raw file stored sparse, {small['dense_bytes'] / 1e6:.2f} MB stored dense, with the "
        f"same outputs, in {small['time_ratio'][0]:.2f} times the time.",
        *_longer(accuracy["resnet8_longer"]),
    ]
    return "\n".join([*rows, "", *lines])


def _longer(found: dict) -> list[str]:
    """What time and a teacher give back."""
    base, pattern, zeros = (
        found[name]["edgekit"]["accuracy"]
        for name in ("base", "2:4 once taught inner", "80 global taught")
    )
    return [
        f"ResNet-8 given thirty epochs and the dense net ({base:.2f} %) as teacher has "
        f"{pattern:.2f} % at 2:4, the first and",
        f"last kernel whole, and {zeros:.2f} % with 80 % zeros, all kernels ranked together "
        "(one seed).",
    ]


def packing_table(deep: dict, clustering: dict, packing: dict) -> str:
    """Deep Compression of the LeNets, what clustering costs, and packed files."""
    rows = [
        _deep_row(deep["cells"], net, PRUNING_NETS[net], setting)
        for net, setting in dict.fromkeys((k.split("/")[0], k.split("/")[2]) for k in deep["cells"])
    ]
    found = clustering["summary"]
    few, many = found["steps 16"], found["steps 256"]
    apply, error = found["apply 256 kmeans++"], found["apply 32 kmeans++"]
    ours, theirs = (100 * (error[side]["above_optimum"] - 1) for side in ("edgekit", "tfmot"))
    less = ", ".join(
        f"{net['less_than_xz']:.0%} ({name.removesuffix('_int8')})"
        for name, net in packing["files"].items()
        if name.endswith("int8")
    )
    lines = [
        "Errors are those of each seed on MNIST's 10,000 test digits. A Dense layer of a million",
        f"weights is clustered to 256 values in {apply['edgekit']['seconds']:.1f} s (TFMOT "
        f"{apply['tfmot']['seconds']:.0f} s, in {1 / apply['share_of_memory']:.0f} times the "
        "memory); with 32 values the error",
        f"is {ours:.1f} % above the least there is (TFMOT {theirs:.0f} %). A step with 16 values "
        f"takes {few['edgekit']['ratio']:.2f} times a plain",
        f"one (TFMOT {few['tfmot']['ratio']:.1f}), with 256 values {many['edgekit']['ratio']:.2f} "
        f"times ({many['tfmot']['ratio']:.1f}). MLPerf Tiny's int8 nets are packed smaller",
        f"than by `xz -9e` by {less}.",
    ]
    return "\n".join([PACKING_HEADER, *rows, "", *lines])


def _deep_row(cells: dict, net: str, name: str, setting: str) -> str:
    found = [c for k, c in cells.items() if k.startswith(f"{net}/") and k.endswith(f"/{setting}")]
    rates = [cell["rate"] for cell in found]
    by_xz = statistics.mean(c["parameter_bytes"] / c["rivals"]["xz -9e"] for c in found)
    errors = ", ".join(f"{c['errors_before']} → {c['errors']}" for c in found)
    title, paper = ("the paper's", DEEP_PAPER[net]) if setting == "paper" else ("edgekit's", "–")
    spread = f"{statistics.mean(rates):.1f}"
    if len(rates) > 1:
        spread += f" ± {statistics.stdev(rates):.1f}"
    return f"| {name} | {title} | {spread} | {paper} | {by_xz:.0f} | {errors} |"


def _beside(found: dict) -> str:
    """Ours, and TFMOT's in brackets."""
    ours, theirs = found["edgekit"], found.get("tfmot")
    spread = "" if ours["deviation"] is None else f" ± {ours['deviation']:.2f}"
    text = f"{ours['accuracy']:.2f}{spread}"
    return f"{text} ({theirs['accuracy']:.2f})" if theirs else text


def distillation_table(found: dict) -> str:
    """Hinton's experiments, and what a teacher costs."""
    summary, paper = found["summary"], found["paper"]["hinton"]
    closed, cost = summary["share of the gap closed"], summary["cost"]
    names = {
        "teacher": "teacher: 2 × 1,200 units, dropout, digits shifted by up to two pixels",
        "plain": "student: 2 × 800 units, on labels",
        "distilled": "the same student, on soft targets of the digits as they are",
        "distilled, mean of shifts": "the same, from the teacher's mean answer to all shifts",
    }
    rows = [
        f"| {title} | {summary['hinton'][name]:.0f} "
        f"({', '.join(str(run['errors'][name]) for run in found['hinton'].values())}) "
        f"| {paper.get(name, '–')} |"
        for name, title in names.items()
    ]
    stored, asked = cost["stored answers"], cost["teacher in the step"]
    theirs = (paper["plain"] - paper["distilled"]) / (paper["plain"] - paper["teacher"])
    lines = [
        f"Means, and in brackets each seed. Of the gap between teacher and student "
        f"{closed['distilled']:.0%} is closed, with mean answers",
        f"{closed['distilled, mean of shifts']:.0%}; in the paper {theirs:.0%}. An epoch with the "
        f"teacher's answers stored takes {stored['ratio']:.2f} times one of the student",
        f"alone, with the teacher in each step {asked['ratio']:.2f} times (Keras's Distiller "
        f"{cost['Keras, teacher in the step']['ratio']:.2f}).",
    ]
    return "\n".join([DISTILLATION_HEADER, *rows, "", *lines])


def never_seen_table(found: dict) -> str:
    """What a student knows of a digit that it was never shown."""
    ours, paper = found["summary"]["never seen"], found["paper"]["never seen"]
    return (
        "A student taught by soft targets of digits without a single 3 makes "
        f"{ours['errors']:.0f} errors of 10,000, {ours['errors on 3']:.0f} of\n"
        "them on threes; once the bias of 3 is raised until it answers 3 as often as there are "
        f"threes, {ours['fixed']:.0f}\nand {ours['fixed on 3']:.0f}. In the paper it is "
        f"{paper['errors']} and {paper['errors on 3']}, then {paper['fixed']} and "
        f"{paper['fixed on 3']}."
    )


def orderings_table(found: dict) -> str:
    """Teaching assistants and born-again networks, and whether they help."""
    summary = found["summary"]["orderings"]
    rows = [
        f"| {name} | {value:.2f} % |" for name, value in summary.items() if isinstance(value, float)
    ]
    differences = [
        f"- {name}: {row['difference']:+.2f} points ({row['interval'][0]:+.2f} to "
        f"{row['interval'][1]:+.2f})" + ("" if _sure(row["interval"]) else ", no difference shown")
        for name, row in summary.items()
        if isinstance(row, dict)
    ]
    return "\n".join([ORDERINGS_HEADER, *rows, "", *differences])


def _sure(interval) -> bool:
    """Whether an interval leaves out zero."""
    return interval[0] > 0 or interval[1] < 0


def trust_table(found: dict) -> str:
    """What device_bench's figures are worth: beside other tools, and beside themselves."""
    litert, arenas = found["litert"]["summary"], found["arena"]["summary"]
    profiles, planted = found["profile"]["summary"], found["planted"]["summary"]
    itself = found["self"]["summary"]
    rows = [TRUST_HEADER]
    for net, beside in litert.items():
        ours, theirs = (beside["variation"][tool] for tool in ("edgekit", "litert-benchmark"))
        left = " / ".join(
            f"{profiles[f'{net}, {kernels}']['residual_share']:.1%}"
            for kernels in ("xnnpack", "builtin")
        )
        rows.append(
            f"| {net} | {beside['ratio of medians']:.3f} | {ours:.2%} | {theirs:.2%} "
            f"| {arenas[net]:,} | {left} |"
        )
    lines = [
        f"Of {itself['comparisons']} comparisons of a net with itself {itself['different']} say "
        f"that it is slower or faster. An op that takes {planted['median ratio'] - 1:.1%} more",
        f"time is found in {planted['found slower']} of {planted['comparisons']} comparisons.",
    ]
    return "\n".join([*rows, "", *lines])


def versus_table(found: dict) -> str:
    """All that was measured of both engines, a table each."""
    return "\n\n".join("\n".join(lines) for lines in versus_tables(found).values())


# In each document, the tables by the names of their marks, and the results that each is made of.
TABLES = {
    "README.md": {
        "demo table": (demo_table, "demo"),
        "qat table": (qat_table, "qat_accuracy", "qat"),
        "pruning table": (pruning_table, "pruning", "lottery_ticket", "sparse_files"),
        "packing table": (packing_table, "deep_compression", "clustering", "packing"),
        "distillation table": (distillation_table, "distillation"),
        "conversion table": (
            conversion_table,
            *("convert", "mlperf_tiny", "posttraining", "equalization"),
        ),
    },
    "docs/distillation.md": {
        "never seen table": (never_seen_table, "distillation"),
        "orderings table": (orderings_table, "distillation"),
    },
    "docs/benchmarking.md": {"trust table": (trust_table, "bench_trust")},
    "docs/coming_from_tfmot.md": {"versus table": (versus_table, "versus_tfmot")},
}


def with_tables(document: str) -> str:
    """The text of a document, by its path, with its tables as the result files say."""
    text = (ROOT / document).read_text()
    for mark, (table, *names) in TABLES[document].items():
        found = (json.loads((RESULTS / f"{name}.json").read_text()) for name in names)
        text = _between(text, mark, table(*found))
    return text


def _between(text: str, mark: str, table: str) -> str:
    before, rest = text.split(f"<!-- {mark} -->")
    after = rest.split(f"<!-- end of {mark} -->")[1]
    return f"{before}<!-- {mark} -->\n{table}\n<!-- end of {mark} -->{after}"


def main(report: str | None = None) -> None:
    """Digest the demo's report, if one is given, and rewrite the tables."""
    if report:
        found = digest(json.loads(Path(report).read_text()))
        (RESULTS / "demo.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    for document in TABLES:
        (ROOT / document).write_text(with_tables(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
