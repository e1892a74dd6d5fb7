"""`summary`: what each layer of a model holds, computes and has been pruned to."""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from edgekit.core.files import write_beside
from edgekit.core.kernel_layout import has_kernel, kernel_layout, kernel_of
from edgekit.core.kernels import is_kernel
from edgekit.core.layer_macs import macs_per_layer
from edgekit.core.plots import new_figure, save_figure
from edgekit.core.selection import all_layers, layer_path
from edgekit.core.tracing import own_variables

_LEFT, _ZERO = "#2563eb", "#cbd5e1"


@dataclass(frozen=True)
class LayerSummary:
    """One layer, its sublayers left out.

    Kernels are its weights that inputs are multiplied with, frozen ones too.

    Args:
        path: As the `layers` argument of the techniques sees it.
        kind: Name of its class.
        params: Elements of its weights; one that several layers share counts in the first.
        bytes: What they take in the dtype of the variables.
        macs: Multiply-accumulates for one sample, zeros included; None when unknown.
        kernel_elements: Elements of its kernels.
        zeros: How many of these are zero.
        distinct: Distinct values of the kernel that has most of them; None without a kernel.
        dead_filters: Output channels whose kernel is all zero; None where it is not known
            which axis counts them.
    """

    path: str
    kind: str
    params: int
    bytes: int
    macs: int | None
    kernel_elements: int
    zeros: int
    distinct: int | None
    dead_filters: int | None

    @property
    def sparsity(self) -> float | None:
        """Share of zeros in its kernels, 0 to 1; None without a kernel."""
        return self.zeros / self.kernel_elements if self.kernel_elements else None


@dataclass(frozen=True)
class ModelSummary:
    """What `summary` found; printing it gives a table.

    Args:
        name: The model's.
        layers: The layers that hold or compute something.
    """

    name: str
    layers: list[LayerSummary]

    @property
    def params(self) -> int:
        """Elements of all weights."""
        return sum(layer.params for layer in self.layers)

    @property
    def bytes(self) -> int:
        """What the weights take in the dtypes of the variables."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one sample; None when those of a layer are unknown."""
        return None if self.unknown_macs else self.known_macs

    @property
    def known_macs(self) -> int:
        """Multiply-accumulates of the layers where they are known."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def unknown_macs(self) -> list[str]:
        """Paths of the layers whose multiply-accumulates are unknown."""
        return [layer.path for layer in self.layers if layer.macs is None]

    @property
    def sparsity(self) -> float | None:
        """Share of zeros over all kernels together, 0 to 1; None without a kernel."""
        elements = sum(layer.kernel_elements for layer in self.layers)
        return sum(layer.zeros for layer in self.layers) / elements if elements else None

    def to_dict(self) -> dict:
        """Everything as JSON-ready values."""
        return {
            "name": self.name,
            "params": self.params,
            "bytes": self.bytes,
            "macs": self.macs,
            "known_macs": self.known_macs,
            "sparsity": self.sparsity,
            "layers": [{**asdict(layer), "sparsity": layer.sparsity} for layer in self.layers],
        }

    def to_json(self, path: str | os.PathLike) -> Path:
        """Write everything as JSON."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        return write_beside(path, lambda partial: partial.write_text(text, encoding="utf-8"))

    def table(self):
        """The layers and their totals as a `rich` table."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
            caption=self._caption(),
            caption_justify="left",
        )
        table.add_column("layer", overflow="fold")
        table.add_column("kind", no_wrap=True)
        for column in ("params", "MACs", "zeros", "distinct", "dead filters", "bytes"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in self.layers:
            sparsity, macs = _percent(row.sparsity), _count(row.macs, unknown="–")
            counts = (_count(row.distinct), _count(row.dead_filters or None))
            cells = (f"{row.params:,}", macs, sparsity, *counts, f"{row.bytes:,}")
            table.add_row(escape(row.path), row.kind, *cells)
        table.add_section()
        macs = _count(self.macs, unknown=f"≥ {self.known_macs:,}")
        cells = (f"{self.params:,}", macs, _percent(self.sparsity), "", "", f"{self.bytes:,}")
        table.add_row("total", "", *cells)
        return table

    def plot(self, path: str | os.PathLike | None = None):
        """A bar per layer with a kernel: the share of its weights that is left, and of zeros.

        Example:
            >>> ek.summary(model).plot("layers.svg")

        Args:
            path: Where to save it too; the suffix says in which format. Defaults to `None`.

        Returns:
            The matplotlib `Figure`.

        Raises:
            ImportError: The extra `report` is not installed.
            ValueError: No layer has a kernel, or matplotlib does not know the suffix.
        """
        rows = [layer for layer in self.layers if layer.kernel_elements]
        if not rows:
            raise ValueError(
                f"model {self.name!r} has no kernel (a weight that inputs are multiplied with)"
            )
        figure, axes = new_figure(width=7.2, height=1.0 + 0.26 * len(rows))
        axes.grid(visible=False)
        places = range(len(rows))  # not the paths: two layers may have the same
        zeros = [100 * row.sparsity for row in rows]
        left = axes.barh(places, [100 - z for z in zeros], color=_LEFT, label="left")
        axes.barh(places, zeros, left=[100 - z for z in zeros], color=_ZERO, label="zero")
        for bar, row in zip(left, rows, strict=True):
            y = bar.get_y() + bar.get_height() / 2
            axes.text(101, y, f"{row.params:,}", va="center", fontsize=8)
        axes.set_yticks(places, [row.path for row in rows], fontsize=8)
        axes.margins(y=0.02)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the layer's kernel weights; params at the right")
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
        return save_figure(figure, path)

    def __str__(self):
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get()

    def _caption(self) -> str:
        text = "MACs for one sample"
        if self.unknown_macs:
            text += f"; not known for {len(self.unknown_macs)} of the layers, marked –"
        return text


def summary(model: keras.Model) -> ModelSummary:
    """What each layer holds and computes: weights, MACs, zeros, distinct values, bytes.

    MACs are those of one sample, without elementwise work. A layer counts as often as it is
    called. What operations such as `ops.matmul(a, b)` multiply counts for the layer whose code
    calls them, or for the model (on TensorFlow). Unknown (`None`) is what runs in a loop of
    unknown length, in Python, or in a subclassed model that takes several arguments, whose layers
    count once, at the shapes they were built for. Of a quantization-aware model the layers inside
    the wrappers are given; what rounds is left out.

    Example:
        >>> found = ek.summary(model)
        >>> print(found)
        >>> found.sparsity, found.macs
        (0.8, 12501632)
        >>> found.plot("layers.png")

    Args:
        model: A built Keras model, of any kind.

    Returns:
        A `ModelSummary` with a `LayerSummary` for each layer that has weights or MACs.

    Raises:
        TypeError: It is not a Keras model.
        ValueError: The model is not built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a Keras 3 model; read a .keras file with "
            f"keras.saving.load_model(path). Received: {type(model).__name__}"
        )
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet: build it or call it on data first"
        )
    macs = macs_per_layer(model)
    seen: set[int] = set()
    rows = []
    for layer in (*all_layers(model), model):
        if getattr(layer, "rounds", None) in ("weights", "activations"):
            continue  # a quantiser's ranges are not weights of the model
        row = _summarize(layer, macs, seen)
        if row.params or row.macs != 0:
            rows.append(row)
    return ModelSummary(model.name, rows)


def _summarize(layer: keras.layers.Layer, macs: dict, seen: set[int]) -> LayerSummary:
    weights = {id(v) for v in layer.weights}  # without the seeds of dropout, metrics
    own = [v for v in own_variables(layer) if id(v) in weights]
    unknown = None if any(_is_kernel(layer, v) for v in own) else 0
    own = [v for v in own if id(v) not in seen]
    seen.update(map(id, own))
    kernels = [keras.ops.convert_to_numpy(v) for v in own if _is_kernel(layer, v)]
    return LayerSummary(
        path=layer_path(layer),
        kind=type(layer).__name__,
        params=sum(math.prod(v.shape) for v in own),
        bytes=sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in own),
        macs=macs.get(layer, unknown),
        kernel_elements=sum(kernel.size for kernel in kernels),
        zeros=sum(kernel.size - int(np.count_nonzero(kernel)) for kernel in kernels),
        distinct=max(map(_distinct, kernels), default=None),
        dead_filters=_dead_filters(layer) if kernels and has_kernel(layer) else None,
    )


def _is_kernel(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    # What a layer that trains does not train is a state, unless it is called a kernel.
    if not is_kernel(layer, variable):
        return False
    return variable.trainable or not layer.trainable or variable.name.endswith("kernel")


def _distinct(values: np.ndarray) -> int:
    """How many distinct values there are, all of them compared: faster than `np.unique`."""
    if not values.size:
        return 0
    # Bit patterns sort faster than floats; adding 0 makes −0 the 0 it is equal to.
    bits = np.sort((values + values.dtype.type(0)).view(f"i{values.dtype.itemsize}"), axis=None)
    return 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))


def _dead_filters(layer: keras.layers.Layer) -> int:
    kernel = keras.ops.convert_to_numpy(kernel_of(layer))
    channels = {axis % kernel.ndim for axis in kernel_layout(layer).channel_axes}
    others = tuple(axis for axis in range(kernel.ndim) if axis not in channels)
    return int(np.sum(~kernel.any(axis=others)))


def _count(value: int | None, unknown: str = "") -> str:
    return unknown if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
