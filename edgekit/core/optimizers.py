"""The optimizers of a model: those within others, their moving averages, what is done at `apply`.

The averages of `use_ema=True` have no public name: this is the only file that uses Keras's own.
"""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import keras

from edgekit.core.selection import all_layers

_HOOKS, _SEEING = "_edgekit_hooks", "_edgekit_seeing"


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The optimizers that a model and those inside it have, compiled or as other attributes.

    Train steps of one's own keep several, also in lists and dicts.
    """
    found: dict[int, keras.optimizers.Optimizer] = {}
    for layer in [model, *all_layers(model)]:
        for value in [getattr(layer, "optimizer", None), *vars(layer).values()]:
            found |= {id(each): each for each in _optimizers_in(value)}
    return list(found.values())


def follow_optimizers(
    model: keras.Model, key: Hashable, see: Callable[[keras.optimizers.Optimizer], None]
) -> None:
    """Call `see` for each optimizer of a model, and once a fit goes on with another one.

    Args:
        model: With or without one.
        key: To be forgotten by, with `forget_optimizers`.
        see: Called once for each.
    """
    vars(model).setdefault(_SEEING, {})[key] = {}, see
    _see_optimizers(model, key)


def forget_optimizers(model: keras.Model, key: Hashable) -> list[keras.optimizers.Optimizer]:
    """Follow the optimizers no more; gives those that were seen."""
    following = vars(model).get(_SEEING, {})
    seen, _ = following.pop(key, ({}, None))
    if not following:
        vars(model).pop(_SEEING, None)
    return list(seen.values())


def see_new_optimizers(model: keras.Model) -> None:
    """The model may have been compiled anew: who follows its optimizers sees the new ones."""
    for key in list(vars(model).get(_SEEING, {})):
        _see_optimizers(model, key)


def _see_optimizers(model: keras.Model, key: Hashable) -> None:
    seen, see = vars(model)[_SEEING][key]
    for optimizer in optimizers_of(model):
        if id(optimizer) not in seen:
            seen[id(optimizer)] = optimizer
            see(optimizer)


def _optimizers_in(value: Any, depth: int = 3) -> list[keras.optimizers.Optimizer]:
    if isinstance(value, keras.optimizers.Optimizer):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)) or not depth:
        return []
    return [found for each in value for found in _optimizers_in(each, depth - 1)]


def innermost(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """Those that update weights: within a loss scale, or side by side in a MultiOptimizer."""
    if hasattr(optimizer, "inner_optimizer"):
        return innermost(optimizer.inner_optimizer)
    return list(getattr(optimizer, "optimizers", None) or [optimizer])


def has_own_apply(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether its `apply` is not Keras's, and so may write weights after the constraints."""
    every = [optimizer, *innermost(optimizer)]
    return any(not type(each).apply.__module__.startswith("keras.") for each in every)


def each_average(
    optimizer: keras.optimizers.Optimizer,
    see: Callable[[keras.Variable, keras.Variable], None],
) -> None:
    """Call `see(variable, average)` for each moving average, now or once the optimizer has them.

    Args:
        optimizer: With or without others in it.
        see: Called once for each pair.
    """
    if not optimizer.built:
        # Only then a MultiOptimizer of a function knows which optimizers are in it.
        _after_build(optimizer, lambda: each_average(optimizer, see))
        return
    for each in innermost(optimizer):
        if each.built and getattr(each, "use_ema", False):
            averages = each._model_variables_moving_average
            for variable, average in zip(each._trainable_variables, averages, strict=True):
                if average is not None:
                    see(variable, average)


class ApplyHooks:
    """What is done before and after an optimizer's `apply`, under keys to remove it by.

    Args:
        optimizer: Whose `apply` is led through them.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.before: dict[Hashable, Callable[[Sequence[Any], Sequence[keras.Variable]], None]] = {}
        self.after: dict[Hashable, Callable[[], None]] = {}
        self._optimizer = optimizer
        apply = optimizer.apply

        @functools.wraps(apply)
        def hooked(grads, trainable_variables=None):
            grads = list(grads)
            if trainable_variables is not None:
                trainable_variables = list(trainable_variables)
            for hook in list(self.before.values()):
                hook(grads, trainable_variables or optimizer._trainable_variables)
            done = apply(grads, trainable_variables)
            for hook in list(self.after.values()):
                hook()
            return done

        # Past Keras's tracking of attributes, so that nothing of it remains.
        vars(optimizer)["apply"] = hooked
        vars(optimizer)[_HOOKS] = self

    def remove(self, key: Hashable) -> None:
        """Do no more what stands under the key; with the last one gone `apply` is its own."""
        self.before.pop(key, None)
        self.after.pop(key, None)
        if not self.before and not self.after:
            for name in ("apply", _HOOKS):
                vars(self._optimizer).pop(name, None)


def hooks_of(optimizer: keras.optimizers.Optimizer) -> ApplyHooks:
    """The hooks of an optimizer, those that it has or new ones."""
    return vars(optimizer).get(_HOOKS) or ApplyHooks(optimizer)


def unhook(optimizer: keras.optimizers.Optimizer, key: Hashable) -> None:
    """Do no more at its `apply` what stands under the key."""
    if _HOOKS in vars(optimizer):
        vars(optimizer)[_HOOKS].remove(key)


def _after_build(optimizer: keras.optimizers.Optimizer, then: Callable[[], None]) -> None:
    build = optimizer.build

    @functools.wraps(build)
    def building(variables):
        vars(optimizer).pop("build", None)
        build(variables)
        then()

    vars(optimizer)["build"] = building
