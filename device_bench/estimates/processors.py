"""What processors can do in a second and what it costs them, with where that is from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Processor:
    """A processor on paper.

    Args:
        name: What it is called.
        int8_macs_per_second: Multiply-accumulates of 8-bit integers.
        float_macs_per_second: Of floats.
        bytes_per_second: Between it and the memory that weights and activations are in.
        source: Where the figures are from.
        constants_on_chip: Whether weights lie in memory on the chip. Defaults to `False`.
    """

    name: str
    int8_macs_per_second: float
    float_macs_per_second: float
    bytes_per_second: float
    source: str
    constants_on_chip: bool = False


PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor(
            "cortex-m4",
            int8_macs_per_second=28e6,
            float_macs_per_second=24e6,
            bytes_per_second=480e6,
            source=(
                "120 MHz; int8 as reached by microTVM with CMSIS-NN on NUCLEO-L4R5ZI in MLPerf "
                "Tiny v1.0 (25 to 32 million a second over its four nets); floats taken as five "
                "cycles each, two loads and VMLA; memory as 32 bits a cycle; flash on the chip "
                "counted as its SRAM"
            ),
            constants_on_chip=True,
        ),
        Processor(
            "ethos-u55-128",
            int8_macs_per_second=64e9,
            float_macs_per_second=0.0,
            bytes_per_second=0.5e9,
            source=(
                "128 a cycle at 500 MHz (Arm Ethos-U55 TRM); weights from flash at 0.5 GB/s, as "
                "Vela's Ethos_U55_High_End_Embedded has it; no floats"
            ),
        ),
    )
}


@dataclass(frozen=True)
class Energy:
    """Picojoules of a multiply-accumulate, and of a byte moved.

    Args:
        int8_mac: An 8-bit multiplication and a 32-bit addition.
        float_mac: A 32-bit multiplication and addition.
        sram_byte: From on-chip memory of 8 kB.
        dram_byte: From memory outside the chip.
        source: Where the figures are from.
    """

    int8_mac: float
    float_mac: float
    sram_byte: float
    dram_byte: float
    source: str


ENERGY = Energy(
    int8_mac=0.2 + 0.1,
    float_mac=3.7 + 0.9,
    sram_byte=10 / 8,
    dram_byte=1950 / 8,
    source=(
        "Horowitz 2014, “Computing's energy problem”, ISSCC: 45 nm at 0.9 V; of 1.3 to 2.6 nJ for "
        "64 bits of DRAM the middle. Without instructions, leakage and clocks"
    ),
)
