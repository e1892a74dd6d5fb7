"""The tables of benchmarks/versus_tfmot.py, in Markdown, from its JSON and from nothing else."""

import statistics

ENGINES = {"edgekit": "edgekit", "tfmot": "TFMOT"}
NETS = {"lenet_5": "LeNet-5 on MNIST", "resnet8": "ResNet-8 on CIFAR-10"}
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


def tables(report: dict) -> dict[str, list[str]]:
    """`{part: lines of a Markdown table}`, of what has been measured."""
    found = {}
    for net in NETS:
        cells = {key: ways for key, ways in report["cells"].items() if key.startswith(f"{net}/")}
        if cells:
            found[net] = _cells_table(cells, net)
    if report["steps"]:
        found["steps"] = _steps_table(report["steps"])
    if report["faults"]:
        found["faults"] = _faults_table(report["faults"])
    return found


def _cells_table(cells, net) -> list[str]:
    """A row per technique, each figure as edgekit / TFMOT, over the seeds that both have.

    Bold is what is better by more than the two deviations together.
    """
    header = (NETS[net], "top-1 in Keras", "top-1 of the int8 file", "bytes", "gzip", "float ops")
    lines = [_row(header), _row(("---", *["--:"] * (len(header) - 1)))]
    numbers = sorted({key.split("/")[1] for key in cells})
    for name in dict.fromkeys(name for ways in cells.values() for name in ways):
        seeds = [
            seed
            for seed in numbers
            if all(name in cells.get(f"{net}/{seed}/{engine}", {}) for engine in ENGINES)
        ]
        if not seeds:  # as of the base, which is trained once
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
    lines = [_row(("a step, ms (over plain)", *ENGINES.values())), _row(("---", "--:", "--:"))]
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
    lines = [_row(("fault", *ENGINES.values())), _row(("---", "---", "---"))]
    for number, title in FAULTS.items():
        cells = []
        for engine in ENGINES:
            shown, seen = faults[engine][str(number)]
            cells.append(f"{'shown' if shown else 'not shown'}: {seen}")
        lines.append(_row((f"{number}. {title}", *cells)))
    return lines


def _row(cells) -> str:
    return f"| {' | '.join(cells)} |"
