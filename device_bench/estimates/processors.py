"""What processors do in a second and what it costs them, by runtime, with where that is from.

A rate is a range: from the slowest to the fastest net it was measured on. What was not measured is
not there; energy above all, which arithmetic alone is a hundredth of.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """From the least to the most that was measured.

    Args:
        least: The lower end.
        most: The upper end.
    """

    least: float
    most: float

    def __post_init__(self):
        if not 0 <= self.least <= self.most < float("inf"):
            raise ValueError(
                "`least` must be at least 0 and at most `most`, which is finite. Received: "
                f"least={self.least}, most={self.most}"
            )

    @property
    def middle(self) -> float:
        """As many times the least as the most is of it."""
        return (self.least * self.most) ** 0.5


@dataclass(frozen=True)
class Processor:
    """A processor with a runtime, on paper.

    Args:
        name: What they are called.
        int8_macs_per_second: Multiply-accumulates of 8-bit integers, as a `Range` or one figure.
        float_macs_per_second: Of floats, alike; 0 where it has none.
        bytes_per_second: Between it and the memory that weights are in.
        source: Where the figures are from.
        int8_picojoules_per_mac: Energy of the whole board over multiply-accumulates, measured.
            Defaults to `None`: not known.
        activation_bytes_per_second: Between it and the memory that activations are in. Defaults to
            `None`: the same memory as that of the weights.
    """

    name: str
    int8_macs_per_second: Range | float
    float_macs_per_second: Range | float
    bytes_per_second: float
    source: str
    int8_picojoules_per_mac: Range | float | None = None
    activation_bytes_per_second: float | None = None

    def macs_per_second(self, floats: bool) -> Range:
        """What it computes in a second, of floats or of 8-bit integers."""
        return as_range(self.float_macs_per_second if floats else self.int8_macs_per_second)

    def picojoules_per_mac(self, floats: bool) -> Range | None:
        """Energy of a multiply-accumulate; None where it was not measured."""
        if floats or self.int8_picojoules_per_mac is None:
            return None
        return as_range(self.int8_picojoules_per_mac)


def as_range(figure: Range | float) -> Range:
    """A figure as the range that holds nothing else."""
    return figure if isinstance(figure, Range) else Range(figure, figure)


# The four nets of MLPerf Tiny, multiply-accumulates as `inspect` counts them: ResNet-8 12.5, DS-CNN
# 2.66, MobileNetV1 7.49 and autoencoder 0.264 million. On NUCLEO-L4R5ZI, 120 MHz.
_ST_MACS, _ST_PICOJOULES = Range(55e6, 84e6), Range(404, 607)
_ST = (
    "ST's X-CUBE-AI in MLPerf Tiny v1.3, closed division, NUCLEO-L4R5ZI at 120 MHz: ResNet-8 165.7 "
    "ms and 5,496 µJ, DS-CNN 43.4 and 1,431, MobileNetV1 89.4 and 3,030, autoencoder 4.79 and 160"
)
_CMSIS_MACS = Range(24.9e6, 32.1e6)
_CMSIS = (
    "CMSIS-NN by microTVM in MLPerf Tiny v1.0 on the same board: 390, 99.8, 301 and 8.6 ms; "
    "energy was not measured there"
)
_FLOATS = (
    "Floats are not measured: five cycles each, two loads and VMLA, from half to twice as many"
)
_M4_FLOATS, _M4_BYTES = Range(12e6, 48e6), 480e6

PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor(
            "cortex-m4",
            int8_macs_per_second=Range(_CMSIS_MACS.least, _ST_MACS.most),
            float_macs_per_second=_M4_FLOATS,
            bytes_per_second=_M4_BYTES,
            source=f"From the slowest to the fastest of these runtimes. {_CMSIS}. {_ST}. {_FLOATS}",
            int8_picojoules_per_mac=_ST_PICOJOULES,
        ),
        Processor(
            "cortex-m4-cmsis-nn",
            int8_macs_per_second=_CMSIS_MACS,
            float_macs_per_second=_M4_FLOATS,
            bytes_per_second=_M4_BYTES,
            source=f"{_CMSIS}. {_FLOATS}",
        ),
        Processor(
            "cortex-m4-st",
            int8_macs_per_second=_ST_MACS,
            float_macs_per_second=_M4_FLOATS,
            bytes_per_second=_M4_BYTES,
            source=f"{_ST}. {_FLOATS}",
            int8_picojoules_per_mac=_ST_PICOJOULES,
        ),
        Processor(
            "ethos-u55-128",
            int8_macs_per_second=Range(17e9, 64e9),
            float_macs_per_second=0.0,
            bytes_per_second=0.5e9,
            source=(
                "From what Vela 5.2 estimates for MLPerf Tiny's MobileNetV1 (7.49 million in 0.442 "
                "ms) to 128 a cycle at 500 MHz (Arm Ethos-U55 TRM); weights from flash at 0.5 "
                "GB/s, activations in SRAM at 4 GB/s, as Vela's Ethos_U55_High_End_Embedded has "
                "it; no floats, no energy measured"
            ),
            activation_bytes_per_second=4e9,
        ),
    )
}
