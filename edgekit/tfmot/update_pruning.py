"""TFMOT's pruning callback, whose zeros hold whoever else writes weights in the fit."""

import warnings

import numpy as np

from edgekit.core.running_fit import LastWord
from edgekit.tfmot.engine import load_tfmot

tfmot = load_tfmot()


class UpdatePruning(tfmot.sparsity.keras.UpdatePruningStep):
    """TFMOT's callback, which also begins the schedules and keeps the masks at the end.

    TFMOT starts with masks of ones, in which an earlier prune's zeros grow again, and keeps masks
    among the weights, so that whoever restores the weights of an earlier epoch restores its masks
    too. Here masks start from the zeros that are there, and end as the last step had them.
    """

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._begun = self._started = self._restored = False
        self._done = 0  # steps of this fit
        self._masks: list[np.ndarray] | None = None
        self._last_word = LastWord(self.model, self._finish)

    def on_epoch_begin(self, epoch, logs=None):
        if self._begun:
            self._hold()
            return
        self._begun = True
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        # Which epoch is the first is not said before.
        total = steps * (epochs - epoch) if steps and epochs else None
        for layer in self.layers:
            layer.pruning_schedule.begin(total)

    def on_train_batch_begin(self, batch, logs=None):
        if not self._started:
            # Not when the fit or an epoch begins: other callbacks may put weights in then.
            self._started = True
            for layer in self.layers:
                layer.pruning_step.assign(0)  # a second fit begins its schedule anew
                _start_from_weights(layer)
            self._masks = self._read()

    def on_train_batch_end(self, batch, logs=None):
        before, self._done = self._done, int(self.layers[0].pruning_step.numpy())
        if any(layer.pruning_schedule.is_due(self._done, before) for layer in self.layers):
            self._masks = self._read()

    def on_epoch_end(self, epoch, logs=None):
        self._hold()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._hold()
        self._last_word.ended()

    @property
    def layers(self) -> list:
        """The wrapped layers."""
        return self.prunable_layers

    def _read(self) -> list[np.ndarray]:
        return [mask.numpy() for layer in self.layers for _, mask, _ in layer.pruning_vars]

    def _hold(self) -> None:
        """Bring back the masks of the last step, and set to zero what they mask."""
        if self._masks is None:
            return
        now = self._read()
        if any(np.any(a != b) for a, b in zip(now, self._masks, strict=True)):
            self._restored = True
            variables = [mask for layer in self.layers for _, mask, _ in layer.pruning_vars]
            for variable, mask in zip(variables, self._masks, strict=True):
                variable.assign(mask)
        for layer in self.layers:
            layer.pruning_step.assign(self._done)
            layer.pruning_obj.weight_mask_op()

    def _finish(self) -> None:
        """All callbacks have ended: what they have put back gets its zeros."""
        self._hold()
        if self._restored:
            warnings.warn(
                "ek.tfmot.prune: another callback has put weights back that were pruned less, and "
                "they got the zeros that the fit ends with. Let EarlyStopping look for the best "
                "epoch only from then on (start_from_epoch)",
                stacklevel=2,
            )


def _start_from_weights(layer) -> None:
    """Mask what is zero in the layer, until its schedule asks for as much.

    Args:
        layer: One of TFMOT's pruning wrappers.
    """
    if layer.sparsity_m_by_n:
        return  # made at once, in the first step
    most, zeros = layer.pruning_schedule.final, []
    for weight, mask, _ in layer.pruning_vars:
        values, block = weight.numpy(), layer.block_size
        alive = _groups(values != 0, block)
        if not alive.any():
            alive[...] = True  # a new layer, which has not been pruned
        zeros.append(min(1 - np.mean(alive), most))
        grow = max(round(alive.size * (1 - most)), 1) - np.count_nonzero(alive)
        if grow > 0:
            alive.ravel()[np.flatnonzero(~alive)[:grow]] = True
        kept = _expanded(alive, values.shape, block)
        mask.assign(kept.astype(mask.dtype.as_numpy_dtype))
        if grow > 0:
            # TFMOT keeps all that are as large as the smallest it keeps: none of these may be zero.
            weight.assign(np.where(kept & (values == 0), np.finfo(values.dtype).tiny, values))
    layer.pruning_schedule.start_from(max(zeros))


def _groups(alive: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    """Which blocks have a weight that is alive; they start at the first row and column."""
    if tuple(block) == (1, 1):
        return alive.copy()
    (rows, columns), (height, width) = alive.shape, block
    padded = np.zeros((-(-rows // height) * height, -(-columns // width) * width), dtype=bool)
    padded[:rows, :columns] = alive
    return padded.reshape(len(padded) // height, height, -1, width).any((1, 3))


def _expanded(groups: np.ndarray, shape: tuple, block: tuple[int, int]) -> np.ndarray:
    """What `_groups` made of weights of the shape, for each of them."""
    if tuple(block) == (1, 1):
        return groups
    return groups.repeat(block[0], 0).repeat(block[1], 1)[: shape[0], : shape[1]]
