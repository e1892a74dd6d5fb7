"""`edgekit bench`."""

import json
from pathlib import Path

import click

CHECK_FAILED = 1


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--inputs", help=".npy or .npz with real samples to feed.  [default: random]")
@click.option(
    "--labels", help=".npy with their class numbers, or an .npz with y: measures accuracy."
)
@click.option(
    "--mode",
    default="standard",
    show_default=True,
    help="quick, standard, mlperf-tiny (median of five windows) or mlperf-mobile (p90 over 60 s).",
)
@click.option(
    "--kernels",
    multiple=True,
    default=("xnnpack",),
    show_default=True,
    help="xnnpack, builtin or reference; may be given several times.",
)
@click.option(
    "--threads",
    multiple=True,
    type=int,
    default=(1,),
    show_default=True,
    help="Of the kernels; may be given several times.",
)
@click.option(
    "--batch",
    multiple=True,
    type=int,
    help="Samples in an invocation; may be given several times.  [default: the file's]",
)
@click.option(
    "--runtime",
    multiple=True,
    default=("interpreter",),
    show_default=True,
    help="interpreter or compiled (CompiledModel); may be given several times.",
)
@click.option("--processes", type=int, help="Fresh processes per model.  [default: the mode's]")
@click.option("--seconds", type=float, help="Steady time in each process.  [default: the mode's]")
@click.option(
    "--timeout", default=120.0, show_default=True, help="After so many s a process hangs."
)
@click.option("--seed", default=0, show_default=True, help="Of the order and of random inputs.")
@click.option("--keep", help="File of what was measured so far; a stopped benchmark goes on there.")
@click.option("-o", "--out", help="JSON with everything, raw samples included.")
@click.option("--baseline", help="JSON of an earlier benchmark to compare with.")
@click.option(
    "--fail-if",
    "rules",
    multiple=True,
    help="Exit code 1 if so, such as 'latency>+5%' against the baseline or 'size>200kB'.",
)
@click.option("--history", help="File that the figures are added to, a line of JSON per benchmark.")
@click.option("--html", help="Report with plots, a single HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, raw samples included.")
@click.pass_context
def bench(
    context: click.Context,
    models: tuple[str, ...],
    inputs: str | None,
    labels: str | None,
    out: str | None,
    baseline: str | None,
    rules: tuple[str, ...],
    history: str | None,
    html: str | None,
    as_json: bool,
    **settings,
) -> None:
    """Time MODELS (.tflite) on this host, side by side in fresh processes.

    \b
    Example:
      edgekit bench float32.tflite int8.tflite --inputs x.npy --labels y.npy --html report.html
      edgekit bench model.tflite --baseline old.json --fail-if "latency>+5%"
    """
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    from converters.files import place_for_file
    from converters.samples import load_samples
    from device_bench import Result, benchmark
    from device_bench.guard import broken_rules, parse_rules
    from device_bench.history import add_to_history

    for path in filter(None, (out, history, html)):
        place_for_file(path)
    parsed = parse_rules(rules, with_baseline=baseline is not None)
    old = Result.from_json(baseline) if baseline else None
    settings["batch"] = settings["batch"] or None
    progress = Progress(
        *Progress.get_default_columns()[:-1],
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        task = progress.add_task("benchmark", total=None)
        result = benchmark(
            _by_name(models),
            load_samples(inputs) if inputs else None,
            labels=_labels(labels) if labels else None,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            **settings,
        )
    if out:
        result.to_json(out)
    if history:
        add_to_history(result, history)
    if html:
        from device_bench.report import write_report

        write_report(result, html, history=history, baseline=old)
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        Console().print(result.table())
    broken = broken_rules(result, parsed, old)
    for line in broken:
        click.echo(f"Failed: {line}", err=True)
    failed = [f"{m.name}: {m.error}" for m in result.measurements if m.error]
    if failed:
        raise ValueError("could not run " + "; ".join(failed))
    if broken:
        context.exit(CHECK_FAILED)


def _labels(path: str):
    """Class numbers of an `.npy`, or of an `.npz` under the name y or alone."""
    from converters.samples import load_samples

    found = load_samples(path)
    if not isinstance(found, dict):
        return found
    if "y" in found:
        return found["y"]
    if len(found) == 1:
        return next(iter(found.values()))
    raise ValueError(f"{path} has arrays {', '.join(found)}: name the labels y")


def _by_name(paths: tuple[str, ...]) -> dict[str, str]:
    """Paths by their stems, or by themselves where stems repeat."""
    if len(set(paths)) < len(paths):
        raise ValueError("a model is named twice: measuring one against itself needs a copy")
    stems = [Path(path).stem for path in paths]
    return {
        stem if stems.count(stem) == 1 else path: path
        for stem, path in zip(stems, paths, strict=True)
    }
