"""Inputs that are indices: how many there are to choose from."""

from converters.model_info import OpInfo
from converters.packaging.ports import Ports
from converters.reader import read_model

# Ops behind which an index is the same index.
_SAME = frozenset(["CAST", "EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE"])
# Which input of an op holds indices, and which one what they choose from.
_LOOKUPS = {"GATHER": (1, 0), "EMBEDDING_LOOKUP": (0, 1), "ONE_HOT": (0, 1)}


def index_limits(content: bytes, ports: Ports) -> dict[str, int]:
    """`{input name: how many values there are}` of inputs that are looked up in a table.

    Args:
        content: The bytes of a `.tflite`.
        ports: Its inputs and outputs.
    """
    ops = [op for op in read_model(content).ops if op.subgraph == 0]
    found = {}
    for port in ports.inputs:
        if port.scale is not None or port.integers is None:
            continue
        limits = _limits(ops, port.tensor)
        if limits:
            found[port.name] = min(limits)
    return found


def _limits(ops: list[OpInfo], tensor: str) -> list[int]:
    same, limits = {tensor}, []
    for op in ops:  # which are in the order they run in
        names = [t.name for t in op.input_tensors]
        if op.name in _SAME and names and names[0] in same:
            same.update(t.name for t in op.output_tensors)
        place, table = _LOOKUPS.get(op.name, (None, None))
        if place is None or len(names) < 2 or names[place] not in same:
            continue
        chosen = op.input_tensors[table]
        if op.name == "ONE_HOT":
            if chosen.values is not None:
                limits.append(int(chosen.values.ravel()[0]))
        elif chosen.shape:
            # The reader does not say along which axis: the shortest is safe for all.
            limits.append(min(chosen.shape) if op.name == "GATHER" else chosen.shape[0])
    return [limit for limit in limits if limit > 0]
