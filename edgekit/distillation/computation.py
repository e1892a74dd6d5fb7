"""How tensors were computed: the TensorFlow operation behind each, in graphs and eagerly."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

try:  # TensorFlow's debugger stands on these; there is no public way to eager operations
    from tensorflow.python.framework import op_callbacks
except ImportError:
    op_callbacks = None

_NO_RECORDS = (
    "this TensorFlow does not tell which operations run eagerly, so logits behind an activation "
    "are worked out from its answers, less exactly: leave `run_eagerly` out"
)


@dataclass(frozen=True)
class Computed:
    """An operation that was run.

    Attributes:
        kind: Its TensorFlow type, such as `"Reshape"`.
        inputs: The tensors it read.
        attributes: What else it was given, by TensorFlow's names.
        place: Which of its outputs the tensor is.
    """

    kind: str
    inputs: Sequence[Any]
    attributes: Mapping[str, Any]
    place: int = 0


class Computation:
    """The operations behind tensors.

    A graph keeps them itself; of what is computed eagerly they are recorded within `recording`.

    Example:
        >>> with recording({"Sigmoid"}) as computation:
        ...     y = model(x)
        >>> computation.behind(y).kind
        'Sigmoid'
    """

    def __init__(self):
        # With the tensor, so that its id stays its own.
        self._recorded: dict[int, tuple[Any, Computed]] = {}

    def behind(self, tensor: Any) -> Computed | None:
        """The operation that made the tensor; None where that is not known."""
        if not tf.is_tensor(tensor) or not isinstance(tensor, tf.Tensor):
            return None
        if isinstance(tensor, tf.__internal__.EagerTensor):
            return self._recorded.get(id(tensor), (None, None))[1]
        operation = tensor.op
        return Computed(
            operation.type, tuple(operation.inputs), _Attributes(operation), tensor.value_index
        )

    def add(
        self, kind: str, inputs: Sequence[Any], attributes: Sequence, outputs: Sequence
    ) -> None:
        """Keep an operation that was run eagerly."""
        named = dict(zip(attributes[::2], attributes[1::2], strict=True)) if attributes else {}
        for place, tensor in enumerate(outputs):
            self._recorded[id(tensor)] = tensor, Computed(kind, tuple(inputs), named, place)


@contextmanager
def recording(kinds: Collection[str]) -> Iterator[Computation]:
    """Within it eager operations of these kinds are kept; in a graph there is nothing to do.

    Args:
        kinds: TensorFlow's operation types.
    """
    computation = Computation()
    if not tf.executing_eagerly():
        yield computation
        return

    def keep(kind, inputs, attributes, outputs, op_name=None, graph=None):
        name = kind.decode() if isinstance(kind, bytes) else kind
        if graph is None and name in kinds:
            computation.add(name, inputs, attributes, outputs)

    if op_callbacks is None:
        warnings.warn(_NO_RECORDS, stacklevel=3)
        yield computation
        return
    op_callbacks.add_op_callback(keep)
    try:
        yield computation
    finally:
        op_callbacks.remove_op_callback(keep)


class _Attributes(Mapping):
    """Attributes of an operation in a graph, read when asked for."""

    def __init__(self, operation):
        self._operation = operation

    def __getitem__(self, name):
        try:
            return self._operation.get_attr(name)
        except ValueError as error:
            raise KeyError(name) from error

    def __iter__(self):
        return iter(self._operation.node_def.attr)

    def __len__(self):
        return len(self._operation.node_def.attr)
