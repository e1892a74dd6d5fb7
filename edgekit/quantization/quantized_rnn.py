"""Recurrent layers in integers: the cell operation by operation, the same ranges in each step."""

from dataclasses import replace

import keras
from keras import ops, tree

from edgekit.core.batchnorm import full_precision
from edgekit.core.selection import all_layers
from edgekit.core.tracing import trace_layer
from edgekit.quantization.call_sites import at_site
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.quantize_wrapper import QuantizeWrapper


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedRNN(QuantizeWrapper):
    """An LSTM, GRU or other RNN whose cell rounds what each of its operations gives.

    Training loops over time; at inference, and so in LiteRT, the loop is unrolled, which has
    no control flow and stores each kernel once. It is called with the sequence, or with a list of
    it and the states to start from.

    Args:
        layer: The recurrent layer, not stateful and without dropout between steps.
        scheme: How to quantise. Defaults to that of `"int8"`.
        sites: How often it is called in all. Defaults to `1`.
        learned: Whether scales of its kernels are learned. Defaults to `None`: as the scheme
            says.
    """

    def __init__(self, layer, scheme=None, sites=1, learned=None, **kwargs):
        super().__init__(layer, scheme, sites, **kwargs)
        # Ranges are those of all steps of a sequence: the first ones, where states are zero,
        # say nothing of the last.
        over_steps = replace(self.scheme, estimator="minmax")
        self.learned = learned
        if learned is None:
            learned = self.scheme.estimator == "lsq"
        self.cell = QuantizedCell(layer.cell, over_steps, sites, learned, name="cell")
        self.loop = keras.layers.RNN(
            self.cell,
            return_sequences=layer.return_sequences,
            return_state=layer.return_state,
            go_backwards=layer.go_backwards,
            zero_output_for_mask=layer.zero_output_for_mask,
            name="loop",
        )

    def build(self, input_shape):
        sequence, *states = _as_list(input_shape)
        super().build(sequence)
        self.loop.build(sequence, states or None)
        for layer in self._ranges():
            layer.in_loop = True
        self.left_float = self.cell.left_float

    def start_scales(self):
        self.cell.start_scales()

    def get_config(self):
        return {**super().get_config(), "learned": self.learned}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config.setdefault("learned", False)  # saved before kernels in here had learned scales
        return super().from_config(config, custom_objects)

    def call(self, inputs, training=None, mask=None, site=0):
        sequence, *states = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if isinstance(mask, (list, tuple)):
            mask = None  # Keras hands no mask on beside states: only one that the caller gives
        with at_site(site):
            return self._loop_over(sequence, states or None, training, mask)

    def _loop_over(self, inputs, states, training, mask):
        # Where shapes are open the loop cannot be unrolled.
        self.loop.unroll = not training and inputs.shape[1] is not None
        cell = self.layer.cell
        if training and 0 < getattr(cell, "dropout", 0) < 1:
            kept = cell.get_dropout_mask(inputs[:, 0])
            kept = kept[0] if isinstance(kept, (list, tuple)) else kept
            inputs = inputs * ops.expand_dims(kept, 1)
            cell.reset_dropout_mask()
        # Keras's unrolled loop hides outputs by a mask that it has not turned round.
        turned = self.layer.go_backwards and mask is not None
        self.loop.go_backwards = self.layer.go_backwards and not turned
        if turned:
            inputs, mask = ops.flip(inputs, 1), ops.flip(mask, 1)
        outputs = self.loop(inputs, initial_state=states, mask=mask, training=training)
        for layer in self._ranges() if training else ():
            layer.synchronize()
        return outputs

    def _ranges(self):
        return [layer for layer in all_layers(self.cell) if isinstance(layer, FakeQuantize)]

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(_as_list(input_shape)[0])

    def apply_plain(self, layers, inputs, training=None, mask=None):
        sequence, *states = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        options = {"initial_state": states} if states else {}
        if mask is not None:
            options["mask"] = mask
        return layers[0](sequence, **options)

    def output_facts(self, count):
        return [(not self.left_float, None)] * count


def _as_list(shape) -> list[tuple]:
    """The shapes of several tensors, or of one."""
    return list(shape) if isinstance(shape[0], (list, tuple)) else [shape]


class QuantizedCell(keras.layers.Layer):
    """One step of a recurrent layer, each operation of it rounded.

    Args:
        cell: The cell; it owns the weights.
        scheme: How to quantise.
        sites: How often the layer is called in all; its steps are one call. Defaults to `1`.
        learned: Whether scales of its kernels are learned. Defaults to `False`.
    """

    def __init__(self, cell, scheme, sites=1, learned=False, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.scheme = scheme
        self.sites = sites
        self.learned = learned
        self.state_size = cell.state_size
        self.output_size = getattr(cell, "output_size", None)
        self.left_float: list[tuple[str, str]] = []

    def build(self, input_shape):
        from edgekit.quantization.graph_quantizer import quantize_graph

        if not self.cell.built:
            self.cell.build(input_shape)
        inputs = keras.Input(batch_shape=(None, *input_shape[1:]))
        sizes = tree.flatten(self.state_size)
        states = [keras.Input(batch_shape=(None, size)) for size in sizes]

        mode = {"training": False} if self.cell._call_has_training_arg else {}

        def step(inputs, *states):
            outputs, new_states = self.cell.call(inputs, self._packed(states), **mode)
            return [outputs, *tree.flatten(new_states)]

        graph, weights, self._variables = trace_layer(self.cell, step, [inputs, *states])
        rounded = [True] * (1 + len(states)) + [False] * len(weights)
        found = quantize_graph(
            graph,
            self.scheme,
            rounded,
            weights,
            round_outputs=True,
            runs=self.sites,
            learned=self.learned,
        )
        self._found = found
        self.inner = found.layers
        self.left_float = found.left_float
        self.step = found.function

    def start_scales(self) -> None:
        """Set learned scales to where they start for the kernels of now."""
        self._found.start_scales([*map(full_precision, self._variables)])

    def call(self, inputs, states):
        tensors = [ops.cast(t, "float32") for t in [inputs, *tree.flatten(states)]]
        outputs = self.step([*tensors, *map(full_precision, self._variables)])
        outputs, *states = [ops.cast(t, self.compute_dtype) for t in outputs]
        return outputs, self._packed(states)

    def _packed(self, states) -> list:
        """The states as the cell has them: those of several cells in a list each."""
        sizes = self.state_size
        sizes = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
        return tree.pack_sequence_as(sizes, list(states))

    def get_initial_state(self, batch_size=None):
        if hasattr(self.cell, "get_initial_state"):
            return self.cell.get_initial_state(batch_size=batch_size)
        # As Keras's own loop does with a cell that has none.
        return tree.map_structure(
            lambda size: ops.zeros((batch_size, size), self.cell.compute_dtype), self.state_size
        )
