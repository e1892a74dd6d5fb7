"""`edgekit pack`."""

import json
from pathlib import Path

import click

from converters.packed.coders import CODERS


@click.command()
@click.argument("model")
@click.option("-o", "--out", help="The .ekz file.  [default: beside MODEL]")
@click.option(
    "--coder",
    type=click.Choice(list(CODERS)),
    default="smallest",
    show_default=True,
    help="huffman: for slow processors, decodes many times faster.",
)
@click.option(
    "--memory",
    default=2**22,
    show_default=True,
    help="Bytes a decoder may use beside the files; 65536 suits microcontrollers.",
)
@click.option("--c", "c_folder", help="Also write the C decoder and the packed model to a folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pack(
    model: str, out: str | None, coder: str, memory: int, c_folder: str | None, as_json: bool
) -> None:
    """Pack a MODEL (.tflite) for download or flash; `edgekit unpack` gives back the same bytes.

    Says what became of each constant, and what gzip, xz and zstd make of the same file.

    \b
    Example:
      edgekit pack model.tflite -o model.ekz
      edgekit pack model.tflite --memory 65536 --c firmware
    """
    from rich.console import Console
    from rich.progress import Progress

    from converters.files import place_for_folder
    from converters.packed import pack as pack_model
    from converters.packed.c_sources import write_c_sources
    from edgekit.cli.out_file import out_file

    path = out_file(out or Path(model).with_suffix(".ekz"), model)
    if c_folder:
        place_for_folder(c_folder)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("packing", total=None)
        packed = pack_model(
            model,
            coder,
            memory,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    packed.save(path)
    sources = write_c_sources(packed, c_folder, path.stem) if c_folder else []
    if as_json:
        files = [str(path), *map(str, sources)]
        click.echo(json.dumps({"file": str(path), "files": files, **packed.to_dict()}))
        return
    console = Console()
    console.print(packed.table())
    console.print(
        f"{path}: {packed.size:,} bytes, {packed.ratio:.1f} times smaller; "
        f"unpacking takes {packed.decoder_memory:,} bytes of memory beside the files",
        highlight=False,
        soft_wrap=True,
    )
    for source in sources:
        console.print(str(source), highlight=False, soft_wrap=True)
