"""The two engines of the pruning benchmark behind one interface; each runs in its own process."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What to prune to.

    Attributes:
        sparsity: Share of the weights, 0 to below 1; None with a pattern.
        pattern: (n, m), or None.
        scope: Whether each kernel is brought to it ("layer"), or all of them together ("global").
        once: Whether all goes at the first step, as TFMOT does it with any pattern.
        taught: Whether the dense net that pruning starts from teaches the pruned one.
        inner: Whether the first kernel and the last stay whole, as is usual with patterns.
    """

    sparsity: float | None
    pattern: tuple[int, int] | None = None
    scope: str = "layer"
    once: bool = False
    taught: bool = False
    inner: bool = False

    @classmethod
    def parse(cls, text: str) -> "Target":
        """`"80"`, `"80 global"`, `"2:4"`, `"2:4 once"` or `"2:4 once taught inner"`."""
        size, *words = text.split()
        how = {word: word in words for word in ("once", "taught", "inner")}
        scope = "global" if "global" in words else "layer"
        if ":" in size:
            n, m = size.split(":")
            return cls(None, (int(n), int(m)), scope, **how)
        return cls(int(size) / 100, None, scope, **how)


class Edgekit:
    """Keras 3 with edgekit."""

    def __init__(self):
        import keras

        import edgekit as ek

        self.keras, self._ek = keras, ek

    def prune(self, model, target, end, every) -> tuple:
        """`(model, callbacks)` for a fit that prunes from its first step to step `end`."""
        schedules = self._ek.schedules
        schedule = schedules.Polynomial(begin=0, end=end, every=every)
        if target.once:
            schedule = schedules.Constant()
        granularity = target.pattern or "weight"
        with_kernels = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
        outer = (with_kernels[0], with_kernels[-1])
        pruning = self._ek.GradualPruning(
            target.sparsity,
            schedule,
            granularity,
            scope=target.scope,
            protect=(lambda layer: layer.name in outer) if target.inner else None,
        )
        return model, [pruning]

    def taught(self, model, teacher):
        """What to compile and fit in place of the model: it is trained on soft targets too."""
        return self._ek.distill(model, teacher, self._ek.distillation.SoftTargets(4))

    def finish(self, model):
        """The model for inference: the one that was trained."""
        return model

    def files(self, model) -> dict:
        """`{name: file}` of the float flatbuffer, with sparse kernels where that is smaller."""
        return {"litert": self._ek.convert(model, sparse=True)["float32"]}


class Tfmot:
    """tf_keras with TensorFlow Model Optimization."""

    def __init__(self):
        import tensorflow_model_optimization as tfmot
        import tf_keras

        self.keras, self._sparsity = tf_keras, tfmot.sparsity.keras

    def prune(self, model, target, end, every) -> tuple:
        """`(wrapped model, callbacks)`; its steps count from 1, so that all are one later."""
        schedule = self._sparsity.PolynomialDecay(
            0.0, target.sparsity or 0.5, begin_step=1, end_step=end + 1, frequency=every
        )
        wrapped = self._sparsity.prune_low_magnitude(
            model, schedule, sparsity_m_by_n=target.pattern
        )
        return wrapped, [self._sparsity.UpdatePruningStep()]

    def finish(self, model):
        """The model without wrappers."""
        return self._sparsity.strip_pruning(model)

    def files(self, model) -> dict:
        """None: Keras and LiteRT agree, and conversion is not what is compared."""
        return {}


def measured(engine: str, target: Target) -> bool:
    """Whether the engine prunes to that target: TFMOT's are all kernels, each, without words."""
    plain = target.scope == "layer" and not (target.once or target.taught or target.inner)
    return engine == "edgekit" or plain


ENGINES = {"edgekit": Edgekit, "tfmot": Tfmot}


def environment(engine) -> dict:
    """The environment of a process of that engine."""
    found = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return found | ({"TF_USE_LEGACY_KERAS": "1"} if engine == "tfmot" else {})
