"""Which weights of a layer inputs are multiplied with, read off what the layer computes."""

import weakref
from collections.abc import Sequence

import keras
import tensorflow as tf

from edgekit.core.tracing import own_variables

_MATRIX_PRODUCTS = (
    *("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "SparseMatMul", "Einsum"),
    *("Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput"),
    *("Conv3DBackpropInputV2", "SparseTensorDenseMatMul"),
)
_LOOKUPS = ("GatherV2", "ResourceGather", "Gather")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_ROLES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def multiplied_weights(layer: keras.layers.Layer) -> set[int] | None:
    """`{id(variable)}` of the layer's own weights that inputs are multiplied with.

    Those are operands of matrix products and convolutions whose other operand comes from the
    input, and tables in which the input looks up rows. What stands between, such as a weight's
    normalization, counts as long as it is done to the weight alone. What is added to inputs or
    scales them is none: position embeddings, class tokens, gamma and beta.

    Args:
        layer: A built layer.

    Returns:
        None where the layer cannot be traced by itself, or hides a weight in a function of its own.
    """
    if layer not in _ROLES:
        _ROLES[layer] = _read_roles(layer)
    return _ROLES[layer]


def _read_roles(layer: keras.layers.Layer) -> set[int] | None:
    for dtype in (layer.compute_dtype, "int32"):
        try:
            graph = _trace(layer, dtype)
        except Exception:  # it is the user's code: it may raise anything
            continue
        return _Roles(graph, own_variables(layer)).multiplied
    return None


def _trace(layer: keras.layers.Layer, dtype: str) -> tf.Graph:
    shapes = layer._build_shapes_dict
    if not shapes:
        raise ValueError("the layer does not say which shapes it takes")

    def spec(shape):
        return tf.TensorSpec((None, *shape[1:]), dtype)

    given = {
        name.removesuffix("_shape"): keras.tree.map_shape_structure(spec, shape)
        for name, shape in shapes.items()
    }
    if len(given) == 1:
        (only,) = given.values()
        traced = tf.function(lambda inputs: layer(inputs), autograph=False)
        return traced.get_concrete_function(only).graph
    traced = tf.function(lambda inputs: layer(**inputs), autograph=False)
    return traced.get_concrete_function(given).graph


class _Roles:
    """Follows weights through a graph.

    Args:
        graph: Of one call of the layer.
        variables: The weights.
    """

    def __init__(self, graph: tf.Graph, variables: Sequence[keras.Variable]):
        handles = {id(v.value.handle): id(v) for v in variables}
        # Of each tensor that does not depend on inputs, which weights it was made of.
        self._made_of: dict[str, frozenset[int]] = {}
        self._hidden = False
        captured = {}
        for outer, inner in graph.captures:
            captured[inner.name] = frozenset({handles[id(outer)]} if id(outer) in handles else ())
        self._made_of |= captured
        self._found: set[int] = set()
        for op in graph.get_operations():
            self._visit(op)

    @property
    def multiplied(self) -> set[int] | None:
        """What was found."""
        return None if self._hidden else self._found

    def _visit(self, op: tf.Operation) -> None:
        if op.type == "Placeholder":
            return  # an input, or a captured tensor
        weights = [self._made_of.get(tensor.name) for tensor in op.inputs]
        from_input = any(found is None for found in weights)
        mine = frozenset().union(*(found for found in weights if found is not None))
        product = op.type in _MATRIX_PRODUCTS and _sums_up(op)
        if from_input and op.type not in _SHAPES:
            if product:
                self._found |= mine
            elif op.type in _LOOKUPS and weights[1] is None and weights[0]:
                self._found |= weights[0]
            elif mine and _calls_function(op):
                self._hidden = True
            return
        if op.type in _SHAPES or product:
            mine = frozenset()  # of a product of weights none is left by itself
        for tensor in op.outputs:
            self._made_of[tensor.name] = mine


def _sums_up(op: tf.Operation) -> bool:
    """Whether a product is more than elementwise: an Einsum may be just that."""
    if op.type != "Einsum":
        return True
    operands, result = op.get_attr("equation").decode().split("->")
    labels = [set(part) for part in operands.split(",")]
    return len(labels) == 2 and bool((labels[0] & labels[1]) - set(result) - set("."))


def _calls_function(op: tf.Operation) -> bool:
    """Whether what it computes cannot be seen here."""
    if "PyFunc" in op.type:
        return True
    return any(attribute.HasField("func") for attribute in op.node_def.attr.values())
