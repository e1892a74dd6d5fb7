"""Runs models on a phone that adb reaches."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from converters.flatbuffer import Flatbuffer
from converters.temporary import temporary_folder
from device_bench.phone.output import Run, parse_output
from device_bench.phone.result import PhoneMeasurement, PhoneResult
from device_bench.phone.script import BINARY, REMOTE, SOURCE, file_names, remote_command, rounds

_PATIENCE = 600


def measure_on_phone(
    models: Mapping[str, Flatbuffer],
    serial: str,
    binary: Path,
    threads: int,
    processes: int,
    seconds: float,
    seed: int,
    on_progress: Callable[[int, int], None],
) -> PhoneResult:
    """Push models and program, run each in fresh processes, interleaved, and read what they print.

    Args:
        models: By name.
        serial: Of the device, as `adb devices` lists it; empty for the only one.
        binary: LiteRT's `benchmark_model` for the device.
        threads: Of the kernels.
        processes: Fresh processes per model.
        seconds: Steady time in each.
        seed: Of the order.
        on_progress: Called as `on_progress(done, total)` after each process.

    Raises:
        FileNotFoundError: adb or the program is not there.
        OSError: The device does not answer.
    """
    if shutil.which("adb") is None:
        raise FileNotFoundError(
            "adb is not installed here: `edgekit bench … --device adb --script FOLDER` writes what "
            "to run where it is"
        )
    if not binary.exists():
        raise FileNotFoundError(f"{binary} is missing: it is LiteRT's {BINARY}, from {SOURCE}")
    phone = _Phone(serial)
    files = file_names(models)
    phone.shell("mkdir", "-p", REMOTE)
    with temporary_folder("phone") as folder:
        for name, flatbuffer in models.items():
            phone.push(flatbuffer.save(folder / files[name]), files[name])
    phone.push(binary, BINARY)
    phone.shell("chmod", "755", f"{REMOTE}/{BINARY}")
    runs: dict[str, list[Run]] = {name: [] for name in models}
    errors: dict[str, str] = {}
    turns = rounds(models, processes, seed)
    interrupted = False
    try:
        for done, (number, name) in enumerate(turns, 1):
            if name not in errors:
                try:
                    said = phone.run(remote_command(files[name], threads, seconds))
                    runs[name].append(replace(parse_output(said)[-1], round=number))
                except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                    errors[name] = str(error)
            on_progress(done, len(turns))
    except KeyboardInterrupt:
        interrupted = True
    rows = tuple(
        PhoneMeasurement(name, tuple(found), errors.get(name)) for name, found in runs.items()
    )
    about = phone.shell("getprop", "ro.product.model").strip()
    settings = {"device": about or f"adb:{serial}", "threads": threads, "processes": processes}
    settings |= {"seconds": seconds, "seed": seed, "interrupted": interrupted}
    return PhoneResult(rows, settings)


class _Phone:
    def __init__(self, serial: str):
        self._adb = ["adb", *(["-s", serial] if serial else [])]

    def push(self, path: Path, name: str) -> None:
        self._call("push", str(path), f"{REMOTE}/{name}")

    def shell(self, *words: str) -> str:
        return self._call("shell", *words)

    def run(self, command: str) -> str:
        """Output and errors of a command; whether it did its work shows in them."""
        return self._call("shell", command, check=False)

    def _call(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self._adb, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
        if check and done.returncode:
            lines = done.stdout.strip().splitlines() or ["adb failed without a word"]
            raise OSError(f"adb {' '.join(arguments[:2])}: {lines[-1]}")
        return done.stdout
