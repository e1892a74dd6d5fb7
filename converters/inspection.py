"""`inspect`: what a `.tflite` file computes, in which dtypes, and what goes in and out."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property

from converters.executions import work
from converters.flatbuffer import Flatbuffer
from converters.flatbuffer_tables import DAMAGE, CorruptFlatbuffer
from converters.inspected import (
    Edge,
    Op,
    Weight,
    all_ops,
    is_weight,
    signature_report,
    weight_report,
)
from converters.metadata import Metadata, read_metadata
from converters.model_info import ModelInfo
from converters.one_line import as_cell, one_line
from converters.reader import UnknownSignature, read_model, read_models
from converters.targets import Unsupported, unsupported

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST")
# What they call computes.
_CONTROL = ("WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE")


class Inspection:
    """What `inspect` found.

    `inputs`, `outputs` and `macs` are those of the first of `signatures`, which runs where none is
    named; ops and weights are those of all.

    Args:
        models: What each signature runs, the default one first.
        content: The bytes of the file.

    Attributes:
        signatures: How the file can be called.
        notes: What the count of multiply-accumulates leaves out, in words.
    """

    def __init__(self, models: Sequence[ModelInfo], content: bytes):
        self._content = content
        self.bytes = len(content)
        works = [work(model) for model in models]
        self.signatures = [signature_report(*pair) for pair in zip(models, works, strict=True)]
        self.notes = list(dict.fromkeys(note for found in works for note in found.notes))
        self._model_ops, self.ops = all_ops(models, works)
        tensors = {(t.subgraph, t.index): t for model in models for t in model.tensors}
        made = {
            (op.subgraph, t.index)
            for op in self._model_ops
            for t in op.output_tensors
            if op.name == "DENSIFY"
        }
        stored = {t.buffer: t for place, t in tensors.items() if is_weight(t) and place not in made}
        self._weight_tensors = list(stored.values())

    @property
    def inputs(self) -> list[Edge]:
        """What the default signature takes."""
        return self.signatures[0].inputs

    @property
    def outputs(self) -> list[Edge]:
        """What the default signature gives."""
        return self.signatures[0].outputs

    @cached_property
    def weights(self) -> list[Weight]:
        """The constants the model computes with."""
        return [weight_report(tensor) for tensor in self._weight_tensors]

    @property
    def weight_dtypes(self) -> dict[str, int]:
        """`{dtype: number of weights stored so}`."""
        return dict(Counter(tensor.dtype for tensor in self._weight_tensors))

    @cached_property
    def gzip_bytes(self) -> int:
        """Bytes after `gzip -9`."""
        return len(gzip.compress(self._content, compresslevel=9, mtime=0))

    @cached_property
    def metadata(self) -> Metadata:
        """What the file says of itself: description, normalization, labels, files behind it.

        Raises:
            CorruptFlatbuffer: Its metadata are damaged, which keeps no runtime from running it.
        """
        return read_metadata(self._content)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run of the default signature, zeros included.

        `notes` says what is left out, such as the steps of a loop whose length depends on data.
        """
        return self.signatures[0].macs

    @property
    def sparsity(self) -> float:
        """Share of zeros over all weights together, 0 to 1."""
        elements = sum(w.elements for w in self.weights)
        return sum(w.zeros for w in self.weights) / elements if elements else 0.0

    @cached_property
    def float_islands(self) -> list[Op]:
        """Ops that compute in float inside a file whose other ops compute in integers.

        Integers are those that stand for reals: arithmetic on shapes and indices is none.
        Conversions at the edges do not count: they are what the user asked for.
        """
        if not any(_computes(op) and op.quantized for op in self.ops):
            return []
        return [op for op in self.ops if _computes(op) and "float" in op.dtype]

    @property
    def hybrid_ops(self) -> list[Op]:
        """Ops that take float data with integer weights, and quantize the data as they run."""
        return [op for op in self.ops if "×" in op.dtype]

    @property
    def op_dtypes(self) -> dict[str, int]:
        """`{dtype: number of ops that compute in it}`, conversions and loops left out."""
        counts: dict[str, int] = {}
        for op in self.ops:
            if _computes(op):
                counts[op.dtype] = counts.get(op.dtype, 0) + 1
        return counts

    def unsupported(self, target: str) -> list[Unsupported]:
        """The ops that do not run on a target, each with the reason.

        Example:
            >>> inspect("model.tflite").unsupported("ethos-u")
            [Unsupported(index=3, op='GATHER', reason='ethos-u has no such op')]

        Args:
            target: `"litert"`, `"litert-gpu"`, `"tflite-micro"`, `"ethos-u"` or `"edgetpu"`.

        Raises:
            ValueError: An unknown target.
        """
        return unsupported(self._model_ops, target)

    def summary(self) -> str:
        """Size, work, sparsity and float islands in one line."""
        sparse = [w for w in self.weights if w.bytes != w.dense_bytes]
        stored, dense = (sum(getattr(w, n) for w in sparse) for n in ("bytes", "dense_bytes"))
        as_sparse = f" (stored sparse: {stored:,} bytes for {dense:,})" if sparse else ""
        islands = ", ".join(f"{op.index} {op.name}" for op in self.float_islands) or "none"
        macs = f"{self.macs:,} multiply-accumulates"
        if len(self.signatures) > 1:
            listed = ", ".join(f"{s.macs:,} in {s.key!r}" for s in self.signatures)
            macs = f"{len(self.signatures)} signatures with multiply-accumulates of {listed}"
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        count = len(self.hybrid_ops)
        ops = "1 op takes" if count == 1 else f"{count} ops take"
        hybrid = f", dynamic range: {ops} float data with integer weights" if count else ""
        told = one_line(
            f"{self.bytes:,} bytes ({self.gzip_bytes:,} gzip), {macs}{notes}, "
            f"{self.sparsity:.1%} of the weights are zero{as_sparse}, float islands: {islands}"
            f"{hybrid}"
        )
        return told + self._said()

    def _said(self) -> str:
        try:
            found = self.metadata.summary()
        except CorruptFlatbuffer as error:
            found = str(error)
        return f"\nmetadata: {one_line(found)}" if found else ""

    def tables(self) -> list:
        """Edges, ops and weights as `rich` tables."""
        from rich import box
        from rich.table import Table

        def table(title: str, *columns: str) -> Table:
            return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)

        several = ("signature",) if len(self.signatures) > 1 else ()
        edges = table("Edges", *several, "edge", "name", "shape", "dtype", "scale", "zero point")
        for signature in self.signatures:
            key = (as_cell(str(signature.key)),) if several else ()
            for kind, group in (("input", signature.inputs), ("output", signature.outputs)):
                for e in group:
                    scale = "" if e.scale is None else f"{e.scale:.7g}"
                    zero = "" if e.zero_point is None else str(e.zero_point)
                    shape = _by_x(e.open_shape or e.shape) or "one number"
                    edges.add_row(*key, kind, as_cell(e.name), shape, e.dtype, scale, zero)
        ops = table("Ops", "#", "op", "inputs", "weights", "outputs", "MACs")
        for o in self.ops:
            types = (", ".join(t) for t in (o.inputs, o.weights, o.outputs))
            times = f" × {o.times}" if o.times != 1 else ""
            ops.add_row(
                str(o.index), as_cell(o.name), *types, f"{o.macs:,}{times}" if o.macs else ""
            )
        columns = ("tensor", "shape", "dtype", "bytes", "dense", "zeros", "distinct")
        weights = table("Weights", *columns)
        for w in self.weights:
            distinct = "" if w.distinct is None else f"{w.distinct:,}"
            dense = "" if w.bytes == w.dense_bytes else f"{w.dense_bytes:,}"
            cells = (f"{w.bytes:,}", dense, f"{w.sparsity:.1%}", distinct)
            weights.add_row(as_cell(w.name), _by_x(w.shape), w.dtype, *cells)
        return [edges, ops, weights]

    def to_dict(self) -> dict:
        """Everything as JSON-ready values."""
        return {
            "bytes": self.bytes,
            "gzip_bytes": self.gzip_bytes,
            "macs": self.macs,
            "notes": self.notes,
            "sparsity": self.sparsity,
            "op_dtypes": self.op_dtypes,
            "float_islands": [op.index for op in self.float_islands],
            "metadata": self._metadata(),
            "inputs": [asdict(edge) for edge in self.inputs],
            "outputs": [asdict(edge) for edge in self.outputs],
            "signatures": [asdict(signature) for signature in self.signatures],
            "ops": [asdict(op) for op in self.ops],
            "weights": [{**asdict(w), "sparsity": w.sparsity} for w in self.weights],
        }

    def _metadata(self) -> dict:
        try:
            return self.metadata.to_dict()
        except CorruptFlatbuffer as error:
            return {"error": str(error)}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def inspect(model: Flatbuffer | str | os.PathLike, signature: str | None = None) -> Inspection:
    """What a LiteRT model computes: ops with dtypes, float islands, size, sparsity, MACs, edges.

    Reads the flatbuffer without running it.

    Example:
        >>> report = inspect("model.tflite")
        >>> report.float_islands
        []
        >>> report.inputs[0].scale, report.inputs[0].zero_point
        (0.00392, -128)

    Args:
        model: A `Flatbuffer`, or the path of a `.tflite` file.
        signature: Key of the only signature to look at. Defaults to `None`: all of them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a LiteRT model, is damaged, or has no such signature.
    """
    flatbuffer = model if isinstance(model, Flatbuffer) else Flatbuffer.from_file(model)
    source = "" if isinstance(model, Flatbuffer) else f"{model}: "
    try:
        content = flatbuffer.content
        models = [read_model(content, signature)] if signature else read_models(content)
        return Inspection(models, content)
    except (CorruptFlatbuffer, UnknownSignature) as error:
        raise ValueError(f"{source}{error}") from None
    except DAMAGE as error:
        raise ValueError(f"{source}damaged LiteRT flatbuffer: {error}") from None


def _by_x(shape: tuple[int, ...]) -> str:
    return "×".join("any" if side == -1 else str(side) for side in shape)


def _computes(op: Op) -> bool:
    return op.name not in (*_CONVERSIONS, *_CONTROL)
