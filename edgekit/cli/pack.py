"""`edgekit pack`."""

import json
from pathlib import Path

import click

from converters.packed.coders import CODERS
from edgekit.cli import options
from edgekit.cli.coding_stages import coding_counter
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.paths import ReadModel, WriteFolder, WritePath


@click.command(cls=EdgekitCommand)
@click.argument("model", type=ReadModel(keras=False))
@click.option(
    "-o",
    "--out",
    type=WritePath(default=lambda given: Path(given["model"]).with_suffix(".ekz")),
    help="The .ekz file.  [default: beside MODEL]",
)
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
    type=click.IntRange(1, options.MANY_BYTES),
    show_default=True,
    help="Bytes a decoder may use beside the files; 65536 suits microcontrollers.",
)
@click.option(
    "--c",
    "c_folder",
    type=WriteFolder(lambda given: ["edgekit_unpack.h", "*_ekz.h", "*_ekz.c", "*_unpack.c"]),
    help="Also write the C decoder and the packed model to a folder.",
)
@options.as_json
def pack(
    model: str, out: str, coder: str, memory: int, c_folder: str | None, as_json: bool
) -> None:
    """Pack a MODEL (.tflite) for download or flash; `edgekit unpack` gives back the same bytes.

    Says what became of each constant, and what gzip, xz and zstd make of the same file.

    \b
    Example:
      edgekit pack model.tflite -o model.ekz
      edgekit pack model.tflite --memory 65536 --c firmware
    """
    from rich.console import Console

    from converters.packed import pack as pack_model
    from converters.packed.c_sources import write_c_sources
    from converters.progress import Stages

    path = Path(out)
    with Stages().running() as stages:
        packed = pack_model(model, coder, memory, coding_counter(stages, "packing"))
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
