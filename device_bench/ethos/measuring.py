"""Compiles models by Vela, in a process of its own, and reads what it estimates."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec

from converters.child import ChildError, run_module
from converters.flatbuffer import Flatbuffer
from converters.reader import read_model
from converters.temporary import temporary_folder
from device_bench.ethos.result import NpuMeasurement, NpuResult

CONFIGURATIONS = tuple(
    f"ethos-u{family}-{macs}"
    for family, sizes in (
        ("55", (32, 64, 128, 256)),
        ("65", (256, 512)),
        ("85", (128, 256, 512, 1024, 2048)),
    )
    for macs in sizes
)
_PATIENCE = 600
_NPU_OP = "ethos-u"


def measure_npu(
    models: Mapping[str, Flatbuffer], device: str, on_progress: Callable[[int, int], None]
) -> NpuResult:
    """Cycles, memory and the share of ops on the NPU.

    Args:
        models: By name.
        device: Out of `CONFIGURATIONS`.
        on_progress: Called as `on_progress(done, total)` after each model.

    Raises:
        ImportError: Vela is not installed.
    """
    if find_spec("ethosu") is None:
        raise ImportError(
            f"`device` {device!r} needs Vela: pip install 'edgekit-keras[npu]' (ethos-u-vela)"
        )
    settings = {"device": device, "vela": version("ethos-u-vela")}
    found = []
    for name, flatbuffer in models.items():
        about = {"name": name, "file_bytes": flatbuffer.size, "sha256": flatbuffer.sha256}
        try:
            row, told = _compiled(flatbuffer, device)
            settings |= told
        except ChildError as error:
            row = {"error": _words(error)}
        except (ValueError, KeyError) as error:  # it printed something else than it does
            row = {"error": f"Vela's summary is not as expected: {error}"}
        found.append(NpuMeasurement(**about, **row))
        on_progress(len(found), len(models))
    return NpuResult(tuple(found), settings)


def _compiled(flatbuffer: Flatbuffer, device: str) -> tuple[dict, dict]:
    """The figures of a model, and how they were found."""
    with temporary_folder("vela") as folder:
        (folder / "model.tflite").write_bytes(flatbuffer.content)
        run_module(
            "ethosu.vela",
            str(folder / "model.tflite"),
            "--accelerator-config",
            device,
            "--output-dir",
            str(folder),
            timeout=_PATIENCE,
        )
        (summary,) = folder.glob("*_summary_*.csv")
        with summary.open(newline="") as file:
            (row,) = csv.DictReader(file)
        made = read_model((folder / "model_vela.tflite").read_bytes())
    ops = len(read_model(flatbuffer.content).ops)
    left = Counter(op.name for op in made.ops if op.name != _NPU_OP)
    kib = {
        name: round(1024 * float(row[f"{name}_memory_used"]))
        for name in ("sram", "dram", "on_chip_flash", "off_chip_flash")
    }
    figures = {
        "cycles": round(float(row["cycles_total"])),
        "milliseconds": 1000 * float(row["inference_time"]),
        "sram_bytes": kib["sram"],
        "flash_bytes": kib["on_chip_flash"] + kib["off_chip_flash"],
        "dram_bytes": kib["dram"],
        "weight_bytes": round(float(row["total_npu_encoded_weights"])),
        "original_weight_bytes": round(float(row["total_original_weights"])),
        "macs": round(float(row["nn_macs"])),
        "npu_ops": max(0, ops - left.total()),
        "ops": ops,
        "cpu_ops": tuple(f"{name} ×{n}" if n > 1 else name for name, n in left.items()),
    }
    told = {
        "system": row["system_config"],
        "memory": row["memory_mode"],
        "clock_mhz": float(row["core_clock"]) / 1e6,
    }
    return figures, told


def _words(error: ChildError) -> str:
    """What Vela says itself, without its long lists."""
    lines = [line.strip() for line in error.output.splitlines() if line.startswith("Error")]
    return lines[0] if lines else str(error)
