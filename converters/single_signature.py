"""One signature of a file as a file of its own."""

from converters.integer.file import FlatFile
from converters.reader import CALLS, read_model

# It describes the tensors of the first subgraph.
_DESCRIPTION = b"TFLITE_METADATA"


def single_signature(content: bytes, signature: str | None = None) -> bytes:
    """The file with one signature, the subgraphs that it runs, and the weights of these.

    Runtimes that know the first subgraph only, as TensorFlow Lite Micro, run that signature.

    Args:
        content: The bytes of a `.tflite`.
        signature: Its key. Defaults to `None`, the default one.

    Returns:
        The bytes of the smaller file; the same bytes where there is nothing to leave out.

    Raises:
        UnknownSignature: The file has no such signature.
    """
    model = read_model(content, signature)
    if model.signature is None or (len(model.signatures) == 1 and model.subgraph == 0):
        return content
    file = FlatFile(content)
    called = {number for op in model.ops for number in op.calls}
    numbers = [model.subgraph, *sorted(called - {model.subgraph})]
    place = [each.key for each in model.signatures].index(model.signature.key)
    file.model.subgraphs = [file.model.subgraphs[number] for number in numbers]
    file.model.signatureDefs = [file.model.signatureDefs[place]]
    file.model.signatureDefs[0].subgraphIndex = 0
    if model.subgraph:
        metadata = file.model.metadata or []
        file.model.metadata = [entry for entry in metadata if entry.name != _DESCRIPTION]
    new = {number: index for index, number in enumerate(numbers)}
    views = file.of(range(len(numbers)))
    for op in (op for view in views for op in view.graph.operators):
        for setting in CALLS.get(file.op_name(op), ()):
            _renumber(op, setting, new)
    return views[0].tobytes()


def _renumber(op, setting: str, new: dict[int, int]) -> None:
    """Let a setting of an op name the subgraph where it is now."""
    first, *others = setting.split("_")
    attribute = first + "".join(map(str.capitalize, others))
    for options in (op.builtinOptions, op.builtinOptions2):
        if hasattr(options, attribute):
            setattr(options, attribute, new[getattr(options, attribute)])
