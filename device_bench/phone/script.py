"""What to run on a phone, as a folder with the models and a shell script."""

import random
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from converters.files import place_for_folder, write_whole
from converters.flatbuffer import Flatbuffer
from device_bench.modes import mode_of
from device_bench.setting import Setting

REMOTE = "/data/local/tmp/edgekit"
BINARY = "benchmark_model"
# Where Google publishes the program that this measures with.
SOURCE = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/"
    "nightly/latest/android_aarch64_benchmark_model"
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SCRIPT = """#!/bin/sh
# Measures the models of this folder on an Android device, interleaved, a process for each run.
# Needs adb, and LiteRT's {binary} for the device in this folder:
#   curl -L -o {binary} {source}
# Run it in this folder; then: edgekit bench --import results.txt
set -e
cd "$(dirname "$0")"
SERIAL={serial}
SERIAL="${{1:-$SERIAL}}"
on() {{ adb ${{SERIAL:+-s "$SERIAL"}} "$@"; }}
[ -f {binary} ] || {{ echo "put {binary} here first: see the top of this script" >&2; exit 2; }}
on shell mkdir -p {remote}
on push {binary} {files} {remote}/
on shell chmod 755 {remote}/{binary}
{{
  echo "EDGEKIT-DEVICE $(on shell getprop ro.product.model | tr -d '\\r')"
{runs}
}} > results.txt.part 2>&1
mv results.txt.part results.txt
echo "measured: $(pwd)/results.txt"
"""
_RUN = """  echo "EDGEKIT {name} round {number}"
  on shell {command} < /dev/null || true"""


def remote_command(file: str, threads: int, seconds: float) -> str:
    """The command line of one process on the device.

    Args:
        file: Name of the model's file there.
        threads: Of the kernels.
        seconds: How long it measures at least.
    """
    return shlex.join(
        [
            f"{REMOTE}/{BINARY}",
            f"--graph={REMOTE}/{file}",
            f"--num_threads={threads}",
            f"--min_secs={seconds:g}",
            "--warmup_min_secs=0.5",
        ]
    )


def write_script(
    models: Mapping[str, Flatbuffer],
    folder: str | Path,
    serial: str = "",
    threads: int = 1,
    processes: int = 8,
    seconds: float = 1.0,
    seed: int = 0,
) -> Path:
    """Write a folder with the models and `run.sh`, which measures them where a phone is.

    Example:
        >>> write_script({"int8": fb}, "phone")      # then, elsewhere: sh phone/run.sh SERIAL
        >>> read_results("phone/results.txt")

    Args:
        models: By name.
        folder: Where it goes; made if missing.
        serial: Of the device. Defaults to `""`: the only one.
        threads: Of the kernels. Defaults to `1`.
        processes: Fresh processes per model. Defaults to `8`.
        seconds: Steady time in each. Defaults to `1.0`.
        seed: Of the order. Defaults to `0`.

    Returns:
        Path of the script.

    Raises:
        ValueError: A number out of its range.
        NotADirectoryError: `folder` is a file.
    """
    mode = mode_of("standard", processes, seconds)
    threads = Setting(threads=threads).threads
    folder = place_for_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = file_names(models)
    for name, flatbuffer in models.items():
        flatbuffer.save(folder / files[name])
    runs = [
        _RUN.format(
            name=files[name].removesuffix(".tflite"),
            number=number,
            command=shlex.quote(remote_command(files[name], threads, seconds)),
        )
        for number, name in rounds(models, mode.processes, seed)
    ]
    text = _SCRIPT.format(
        binary=BINARY,
        source=SOURCE,
        serial=shlex.quote(serial),
        remote=REMOTE,
        files=" ".join(files.values()),
        runs="\n".join(runs),
    )
    path = write_whole(folder / "run.sh", text)
    path.chmod(0o755)
    return path


def rounds(models: Mapping, processes: int, seed: int) -> list[tuple[int, str]]:
    """`(round, name)` of every process, shuffled anew in each round."""
    order = random.Random(seed)
    return [(n, name) for n in range(processes) for name in order.sample(list(models), len(models))]


def file_names(models: Mapping) -> dict[str, str]:
    """A file name for each model that no shell misreads."""
    found: dict[str, str] = {}
    for name in models:
        stem = _UNSAFE.sub("_", name).strip("_-.") or "model"
        while f"{stem}.tflite" in found.values():
            stem += "_"
        found[name] = f"{stem}.tflite"
    return found
