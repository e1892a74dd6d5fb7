"""How a benchmark of the host is done."""

from dataclasses import dataclass
from pathlib import Path

from device_bench.modes import Mode
from device_bench.setting import Setting


@dataclass(frozen=True)
class Plan:
    """How models are measured on a host.

    Attributes:
        settings: Each model runs in all of them.
        mode: How much is measured.
        seed: Of the order and of random inputs.
        timeout: Seconds after which a process hangs, beside what it is asked to measure.
        keep: A file to go on from, or None.
        signature: Key of the signature that is measured; None for the default one.
    """

    settings: list[Setting]
    mode: Mode
    seed: int
    timeout: float
    keep: Path | None
    signature: str | None = None
