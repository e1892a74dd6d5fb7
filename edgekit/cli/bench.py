"""`edgekit bench`."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--inputs", help=".npy or .npz with real samples to feed.  [default: random]")
@click.option("--threads", default=1, show_default=True, help="Threads of the interpreter.")
@click.option("--processes", default=5, show_default=True, help="Fresh processes per model.")
@click.option("--seconds", default=1.0, show_default=True, help="Steady time in each process.")
@click.option("--seed", default=0, show_default=True, help="Of the order and of random inputs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, raw samples included.")
def bench(
    models: tuple[str, ...],
    inputs: str | None,
    threads: int,
    processes: int,
    seconds: float,
    seed: int,
    as_json: bool,
) -> None:
    """Time MODELS (.tflite) on this host, side by side in fresh processes.

    \b
    Example:
      edgekit bench float32.tflite int8.tflite --inputs x.npz
    """
    from rich.console import Console
    from rich.progress import Progress

    from converters.samples import load_samples
    from device_bench import benchmark

    samples = load_samples(inputs) if inputs else None
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("benchmark", total=None)
        result = benchmark(
            _by_name(models),
            samples,
            threads=threads,
            processes=processes,
            seconds=seconds,
            seed=seed,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        Console().print(result.table())
    failed = [f"{m.name}: {m.error}" for m in result.measurements if m.error]
    if failed:
        raise ValueError("could not run " + "; ".join(failed))


def _by_name(paths: tuple[str, ...]) -> dict[str, str]:
    """Paths by their stems, or by themselves where stems repeat."""
    if len(set(paths)) < len(paths):
        raise ValueError("a model is named twice: measuring one against itself needs a copy")
    stems = [Path(path).stem for path in paths]
    return {
        stem if stems.count(stem) == 1 else path: path
        for stem, path in zip(stems, paths, strict=True)
    }
