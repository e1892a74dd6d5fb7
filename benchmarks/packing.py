"""Packed files beside gzip, xz and zstd: MLPerf Tiny's nets, float and int8.

    EDGEKIT_DATA=data python benchmarks/packing.py --out benchmarks/results/packing.json

For each file the bytes as it is, by `gzip -9`, `xz -9e` and `zstd -19`, and as an `.ekz`: the
smallest, one whose decoder makes do with 64 kB, and one with Huffman codes only. Each is unpacked
by Python and by the C decoder, compiled with `cc -O2`, and must give the same bytes; seconds are
the best of five.
"""

import json
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import click
from figures import data_folder, save

from converters.packed import pack, unpack
from converters.packed.c_sources import write_c_sources

NETS = ("resnet8", "kws", "vww", "ad01")
SETTINGS = {
    "smallest": {},
    "64 kB": {"memory": 2**16},
    "huffman": {"coder": "huffman", "memory": 2**16},
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(out):
    """Pack, unpack, print, save."""
    folder = data_folder() / "mlperf_tiny"
    pack(folder / "kws_int8.tflite")  # compiles
    report = {"python": platform.python_version(), "files": {}}
    for net in NETS:
        for format in ("float", "int8"):
            name = f"{net}_{format}"
            found = report["files"][name] = _measure(folder / f"{name}.tflite")
            print(name, json.dumps(found), flush=True)
    save(report, out)


def _measure(path) -> dict:
    content = path.read_bytes()
    found = {"bytes": len(content), "packed": {}}
    for setting, options in SETTINGS.items():
        start = time.perf_counter()
        packed = pack(path, **options)
        seconds = time.perf_counter() - start
        if "rivals" not in found:
            found["rivals"] = packed.rivals
            found["less_than_xz"] = round(1 - packed.size / packed.rivals["xz -9e"], 4)
        found["packed"][setting] = {
            "bytes": packed.size,
            "decoder_memory": packed.decoder_memory,
            "pack_seconds": round(seconds, 3),
            "unpack_seconds": round(_best(lambda p=packed: unpack(p.content)), 4),
            "c_unpack_seconds": _in_c(packed, content),
        }
    return found


def _best(call, times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _in_c(packed, content: bytes) -> float:
    """Seconds of the C decoder, which has to give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        write_c_sources(packed, folder, "net")
        source = Path(folder, "net_unpack.c")
        text = source.read_text().replace(
            "return status == EKZ_OK ? 0 : 1;",
            'FILE *out = fopen("out", "wb");\n'
            "fwrite(model.bytes, 1, sizeof model.bytes, out);\n"
            "return fclose(out) || status != EKZ_OK;",
        )
        source.write_text(text)
        program = ["cc", "-O2", "net_unpack.c", "net_ekz.c", "-o", "net"]
        subprocess.run(program, cwd=folder, check=True)
        seconds = _best(lambda: subprocess.run(["./net"], cwd=folder, check=True, stdout=-3))
        if Path(folder, "out").read_bytes() != content:
            raise SystemExit("the C decoder gives other bytes")
        return round(seconds, 4)


if __name__ == "__main__":
    main()
