"""Where the benchmarks' data are, and how their figures are written."""

import json
import os
from pathlib import Path


def data_folder() -> Path:
    """The folder with `mnist.npz`, `cifar10_train_jpeg.npz` and `mlperf_tiny/`: EDGEKIT_DATA.

    Raises:
        SystemExit: There is no such folder.
    """
    folder = Path(os.environ.get("EDGEKIT_DATA", "data"))
    if not folder.is_dir():
        raise SystemExit(f"no such folder: {folder}; set EDGEKIT_DATA to the one with the data")
    return folder


def save(report: dict, out: Path | None) -> None:
    """Write the figures as JSON, whole or not at all; nowhere without a path."""
    if out is None:
        return
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    partial.replace(out)
