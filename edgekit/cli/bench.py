"""`edgekit bench`."""

import json
from pathlib import Path

import click

from device_bench.modes import MODES
from device_bench.setting import KERNELS, RUNTIMES
from edgekit.cli import options as shared
from edgekit.cli.command import CHECK_FAILED, EdgekitCommand, interrupted_code
from edgekit.cli.numbers import RealRange
from edgekit.cli.paths import TEXT, ReadModel, ReadPath, UpdatePath, WriteFolder, WritePath


@click.command(cls=EdgekitCommand)
@click.argument("models", nargs=-1, type=ReadModel())
@click.option(
    "--device",
    type=TEXT,
    default="host",
    show_default=True,
    help="host, mcu (TensorFlow Lite Micro), ethos-u55-128 and others (Vela), or adb:SERIAL.",
)
@click.option(
    "--inputs",
    type=shared.SAMPLES,
    help=".npy or .npz with real samples to feed, or a folder of images.  [default: random]",
)
@click.option(
    "--labels",
    type=ReadPath(),
    help=".npy with their class numbers, or an .npz with y: measures accuracy.",
)
@click.option(
    "--mode",
    type=click.Choice(list(MODES)),
    default="standard",
    show_default=True,
    help="mlperf-tiny: median of five windows; mlperf-mobile: p90 over 60 s.",
)
@click.option(
    "--kernels",
    multiple=True,
    type=click.Choice(KERNELS),
    default=("xnnpack",),
    show_default=True,
    help="May be given several times.",
)
@click.option(
    "--threads",
    multiple=True,
    type=click.IntRange(1, 256),
    default=(1,),
    show_default=True,
    help="Of the kernels; may be given several times.",
)
@click.option(
    "--batch",
    multiple=True,
    type=click.IntRange(1, 2**20),
    help="Samples in an invocation; may be given several times.  [default: the file's]",
)
@click.option(
    "--runtime",
    multiple=True,
    type=click.Choice(RUNTIMES),
    default=("interpreter",),
    show_default=True,
    help="LiteRT's interpreter or its CompiledModel; may be given several times.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1000),
    help="Fresh processes per model.  [default: the mode's]",
)
@click.option(
    "--seconds",
    type=RealRange(0, 3600, min_open=True),
    help="Steady time in each process.  [default: the mode's]",
)
@click.option(
    "--timeout",
    type=RealRange(0, 3600, min_open=True),
    default=120.0,
    show_default=True,
    help="After so many s a process hangs.",
)
@shared.seed("Of the order and of random inputs.")
@shared.signature
@click.option(
    "--keep",
    type=UpdatePath(),
    help="File of what was measured so far; a stopped benchmark goes on there.",
)
@click.option("-o", "--out", type=WritePath(), help="JSON with everything, raw samples included.")
@click.option("--baseline", type=ReadPath(), help="JSON of an earlier benchmark to compare with.")
@click.option(
    "--fail-if",
    "rules",
    type=TEXT,
    multiple=True,
    help="Exit code 1 if so: 'size>200kB', 'latency>1.1x' (of the first model), 'latency>+5%' "
    "(against the baseline), 'accuracy<-0.5pt first'.",
)
@click.option(
    "--history",
    type=UpdatePath(),
    help="File that the figures are added to, a line of JSON per benchmark that ended.",
)
@click.option("--html", type=WritePath(), help="Report with plots, a single HTML file.")
@click.option("--profile", is_flag=True, help="Time of each kernel, in place of the benchmark.")
@click.option(
    "--estimate",
    "processor",
    type=TEXT,
    help="Least time and energy on paper, as on cortex-m4.",
)
@click.option(
    "--binary",
    type=ReadPath(found_later=True),
    default="benchmark_model",
    show_default=True,
    help="For adb: LiteRT's.",
)
@click.option(
    "--script",
    type=WriteFolder(lambda given: ["run.sh", "*.tflite", "results.txt*"]),
    help="For adb: a folder to run where the phone is, in place of running.",
)
@click.option(
    "--import",
    "imported",
    type=ReadPath(),
    help="What that script, or benchmark_model, has printed.",
)
@shared.as_json
@click.pass_context
def bench(
    context: click.Context,
    models: tuple[str, ...],
    device: str,
    inputs: str | None,
    labels: str | None,
    profile: bool,
    processor: str | None,
    script: str | None,
    imported: str | None,
    as_json: bool,
    **options,
) -> None:
    """Measure MODELS (.tflite) side by side: time on this host, or what a device needs and takes.

    \b
    Example:
      edgekit bench float32.tflite int8.tflite --inputs x.npy --labels y.npy --html report.html
      edgekit bench model.tflite --baseline old.json --fail-if "latency>+5%"
      edgekit bench model.tflite --device mcu
      edgekit bench model.tflite --profile --kernels builtin
    """
    from converters.samples import load_samples
    from device_bench.devices import device_kind

    device_kind(device)
    show = _shown(as_json)
    options = _given(context, options)
    if imported:
        _nothing_beside("--import", options, {"out"})
        from device_bench.phone.result import read_results

        _told(read_results(imported), options.get("out"), show)
        return
    if not models:
        raise click.UsageError("Missing argument 'MODELS...'.")
    named = _by_name(models)
    samples = inputs if inputs is None or Path(inputs).is_dir() else load_samples(inputs)
    if (processor or profile) and device != "host":
        raise ValueError(f"--device {device} says nothing to --profile and --estimate")
    if processor:
        _nothing_beside("--estimate", options, {"signature"})
        from device_bench import estimate

        for path in named.values():
            show(estimate(path, processor, options.get("signature")))
    elif profile:
        _profile(named, samples, options, show)
    elif script:
        _script(named, device, script, options)
    else:
        _benchmark(context, named, device, samples, labels, options, show)


def _benchmark(context, named, device, samples, labels, options, show) -> None:
    from converters.progress import Stages
    from device_bench import Result, benchmark
    from device_bench.guard import broken_rules, other_circumstances, parse_rules
    from edgekit.cli.data import load_labels

    out, history, html, baseline = (
        options.pop(name, None) for name in ("out", "history", "html", "baseline")
    )
    rules = parse_rules(options.pop("rules", ()), with_baseline=baseline is not None)
    if device != "host" and (history or html or baseline or rules):
        raise ValueError("--history, --html, --baseline and --fail-if are for --device host")
    old = Result.from_json(baseline) if baseline else None
    truth = load_labels(labels) if labels else None
    if truth is not None and samples is None:
        raise ValueError("--labels need --inputs: accuracy is that of real samples")
    _check_results(history, html)
    with Stages().running() as stages:
        result = benchmark(
            named,
            samples,
            device,
            labels=truth,
            on_progress=stages.counter("benchmark"),
            **options,
        )
    _told(result, out, show)
    for line in other_circumstances(result, old) if old else ():
        click.echo(f"Warning: beside the baseline: {line}", err=True)
    interrupted = getattr(result, "settings", {}).get("interrupted", False)
    if history and interrupted:
        click.echo("Warning: interrupted, so nothing is added to the history", err=True)
    elif history:
        from device_bench.history import add_to_history

        add_to_history(result, history)
    if html:
        from device_bench.report import write_report

        signature = options.get("signature")
        profiles = {} if interrupted else _profiles(named, result, samples, signature)
        write_report(result, html, history=history, baseline=old, profiles=profiles)
    broken = broken_rules(result, rules, old) if rules else []
    for line in broken:
        click.echo(f"Failed: {line}", err=True)
    if interrupted:
        click.echo("Error: interrupted", err=True)
        context.exit(interrupted_code())
    failed = [f"{m.name}: {m.error}" for m in result.measurements if m.error]
    if failed:
        raise ValueError("could not run " + "; ".join(failed))
    if broken:
        context.exit(CHECK_FAILED)


def _check_results(history, html) -> None:
    """Refuse before the work what would fail after it."""
    if history and Path(history).exists():
        from device_bench.history import read_history

        read_history(history)
    if html:
        from device_bench.report import drawing_tools

        drawing_tools()


def _told(result, out, show) -> None:
    """Written first: what is shown can be lost, what was measured should not."""
    if out:
        result.to_json(out)
    show(result)


def _nothing_beside(option: str, options: dict, allowed: set) -> None:
    others = sorted(set(options) - allowed)
    if others:
        name = {"rules": "fail-if"}.get(others[0], others[0].replace("_", "-"))
        raise ValueError(f"--{name} has no meaning beside {option}")


def _profiles(named, result, samples, signature) -> dict:
    """Of each model that ran, in its first setting; none where LiteRT does not tell."""
    from device_bench import profile

    found = {}
    for m in result.measurements:
        if m.measured and m.model not in found and m.setting.kernels != "reference":
            try:
                threads = m.setting.threads
                kernels, path = m.setting.kernels, named[m.model]
                found[m.model] = profile(path, samples, kernels, threads, signature=signature)
            except (RuntimeError, ValueError) as error:
                click.echo(f"Warning: no profile of {m.model}: {error}", err=True)
    return found


def _profile(named, samples, options, show) -> None:
    from device_bench import profile

    _nothing_beside("--profile", options, {"kernels", "threads", "seed", "signature"})
    kernels, threads = options.get("kernels", ["xnnpack"]), options.get("threads", [1])
    for path in named.values():
        for setting in kernels:
            for count in threads:
                seed, signature = options.get("seed", 0), options.get("signature")
                show(profile(path, samples, setting, count, seed, signature))


def _script(named, device, folder, options) -> None:
    from converters.as_flatbuffer import as_flatbuffer
    from device_bench.devices import PHONE, device_kind
    from device_bench.phone.script import write_script

    kind, serial = device_kind(device)
    if kind != PHONE:
        raise ValueError(f"--script is for --device adb:SERIAL. Received: --device {device}")
    _nothing_beside("--script", options, {"threads", "processes", "seconds", "seed"})
    models = {name: as_flatbuffer(path) for name, path in named.items()}
    threads = options.pop("threads", [1])
    if len(threads) > 1:
        raise ValueError("--threads must be one number on a phone")
    path = write_script(models, folder, serial, threads[0], **options)
    click.echo(f"{path}: run it where the phone is, then edgekit bench --import results.txt")


def _given(context: click.Context, options: dict) -> dict:
    """Options that were given on the command line; each has its default where it is used."""
    from click.core import ParameterSource

    found = {}
    for name, value in options.items():
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            several = isinstance(value, tuple) and name != "rules"
            found[name] = list(value) if several else value
    return found


def _shown(as_json: bool):
    from rich.console import Console

    def show(result) -> None:
        if as_json:
            click.echo(json.dumps(result.to_dict()))
        else:
            Console().print(result.table())

    return show


def _by_name(paths: tuple[str, ...]) -> dict[str, str]:
    """Paths by their stems, or by themselves where stems repeat."""
    if len(set(paths)) < len(paths):
        raise ValueError("a model is named twice: measuring one against itself needs a copy")
    stems = [Path(path).stem for path in paths]
    return {
        stem if stems.count(stem) == 1 else path: path
        for stem, path in zip(stems, paths, strict=True)
    }
