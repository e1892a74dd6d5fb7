"""Where models are measured: the names of devices."""

from device_bench.ethos.measuring import CONFIGURATIONS

HOST, MICRO, NPU, PHONE = "host", "mcu", "ethos-u", "adb"


def device_kind(device: str) -> tuple[str, str]:
    """`(kind, detail)` of a device's name.

    Example:
        >>> device_kind("ethos-u55-128")
        ('ethos-u', 'ethos-u55-128')
        >>> device_kind("adb:emulator-5554")
        ('adb', 'emulator-5554')

    Raises:
        ValueError: No such device.
    """
    if device in (HOST, MICRO):
        return device, ""
    if device in CONFIGURATIONS:
        return NPU, device
    name, _, serial = str(device).partition(":")
    if name == PHONE:
        return PHONE, serial
    raise ValueError(
        f"`device` must be 'host', 'mcu', 'adb', 'adb:SERIAL', or an Ethos-U as "
        f"{', '.join(CONFIGURATIONS)}. Received: device={device!r}"
    )
