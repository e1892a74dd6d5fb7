"""Lottery tickets: iterative pruning with rewinding, as a callback of one `model.fit`."""

import json
import math
import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
from keras import ops

from edgekit.core.adapted import copy_adapted
from edgekit.core.arguments import check_whole, is_number, is_whole
from edgekit.core.constraints import forget_altered
from edgekit.core.held_masks import sparsity_of
from edgekit.core.selection import LayerFilter
from edgekit.pruning.criteria import Criterion
from edgekit.pruning.granularities import Granularity
from edgekit.pruning.pruner import Pruner
from edgekit.pruning.pruning_callback import PruningCallback
from edgekit.pruning.state import State, pack, unpack

_RATE = 0.2


@dataclass(frozen=True)
class Round:
    """One training of the search.

    Attributes:
        sparsity: Share of the weights that were zero in it, 0 to 1.
        logs: The logs of its last epoch.
    """

    sparsity: float
    logs: dict[str, float] = field(default_factory=dict)


class LotteryTicket(PruningCallback):
    """Finds a sparse subnetwork that trains as well from its own early weights.

    The fit is cut into equal trainings. After each but the last, the lowest weights of those
    left are pruned, and the others, with everything else in the model and the optimizer, go back
    to what they were at step `rewind_to` of the first training. The last one trains the ticket.

    Example:
        >>> ticket = ek.LotteryTicket(0.8, rounds=7)
        >>> model.fit(x, y, epochs=8 * 5, callbacks=[ticket])   # eight trainings of five epochs
        >>> ticket.rounds[-1].sparsity
        0.8
        >>> ticket.rewind()           # the ticket before its training
        >>> ticket.reinitialize(1)    # the same masks on new random weights: what it must beat

    Args:
        sparsity: Share of weights that end up zero, 0 to below 1, or `{regex: share}` by layer
            path, or `None` with an (n, m) pattern.
        rounds: How often weights are pruned; `epochs` of the fit must be a multiple of
            `rounds + 1`. Defaults to `None`: as many as taking a fifth of what is left needs.
        rewind_to: Step of the first training to whose weights the others return; 0 is before
            the first step, a float is a fraction of that training. Large nets need a few hundred
            steps. Defaults to `0`.
        granularity: As in `ek.GradualPruning`. Defaults to `"weight"`.
        criterion: As in `ek.GradualPruning`. Defaults to `"magnitude"`.
        scope: As in `ek.GradualPruning`. Defaults to `"layer"`.
        layers: As in `ek.GradualPruning`. Defaults to `None`.
        protect: As in `ek.GradualPruning`. Defaults to `None`.

    Attributes:
        rounds: The trainings done so far, as `Round` objects.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: One outside its range, or, before the first step, epochs that cannot be cut
            into equal trainings.

    Source: Frankle & Carbin 2018, "The Lottery Ticket Hypothesis", arXiv 1803.03635; rewinding,
    Frankle et al. 2019, arXiv 1903.01611.
    """

    def __init__(
        self,
        sparsity: float | Mapping[str, float] | None = None,
        rounds: int | None = None,
        rewind_to: int | float = 0,
        granularity: str | tuple[int, int] | Granularity = "weight",
        criterion: str | Callable[[np.ndarray], np.ndarray] | Criterion = "magnitude",
        scope: str = "layer",
        layers: LayerFilter = None,
        protect: LayerFilter = None,
    ):
        super().__init__(Pruner(sparsity, granularity, criterion, scope, layers, protect))
        if rounds is not None:
            check_whole("rounds", rounds)
        if not is_number(rewind_to) or not rewind_to >= 0:
            raise ValueError(
                "`rewind_to` must be a step (int) or a fraction of the first training (float), "
                f"not negative. Received: rewind_to={rewind_to!r}"
            )
        self._rounds = rounds or _rounds_for(self._pruner.sparsity)
        self.rewind_to = rewind_to
        self.rounds: list[Round] = []

    def rewind(self) -> None:
        """Put the ticket's early weights into the model: the winning ticket, not yet trained.

        Raises:
            ValueError: No fit with this callback has reached the step to rewind to.
        """
        self._put_back(self._early())

    def reinitialize(self, seed: int) -> None:
        """Put new random weights under the ticket's masks: the control of the experiment.

        Args:
            seed: Of the layers' own initializers.

        Raises:
            ValueError: No fit has begun, the model is subclassed, or its initializers have fixed
                seeds.
        """
        early, optimizer = self._early()
        chance = random.getstate()
        random.seed(seed)  # of which Keras makes each initializer's
        try:
            fresh = keras.models.clone_model(self.model)
            copy_adapted(self.model, fresh)
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"the model cannot be built anew: {error}") from None
        finally:
            random.setstate(chance)
        kernels = {kernel.variable.path for kernel in self._bound.kernels}
        before = dict(zip([v.path for v in self.model.weights], early, strict=True))
        after = dict(zip(before, fresh.get_weights(), strict=True))
        if all(np.array_equal(after[path], before[path]) for path in kernels):
            raise ValueError("the layers' initializers have fixed seeds: nothing would change")
        self._put_back((list(after.values()), optimizer))

    def on_train_begin(self, logs=None):
        state, self._resumed = self._resumed, None
        self._steps = self.params.get("steps")
        self._epochs = self._epochs_per_training(self.params.get("epochs"))
        self._rewind_step = self._step_to_rewind_to()
        self._bound = self._pruner.bind(self.model)
        optimizer = self.model.optimizer
        if not optimizer.built:  # its variables are rewound too
            with self.model.distribute_strategy.scope():
                optimizer.build(self.model.trainable_variables)
        self._next_step, self._remembered, self.rounds = 0, None, []
        self._epoch_start: int | None = None
        masks = None if state is None else self._take_up_state(state)
        self._hold(masks)
        self._resumes, self._rewound = state is not None, False

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        first, self._epoch_start = self._epoch_start is None, self._next_step
        unknown = first and epoch > 0 and not self._resumes
        if unknown or epoch // self._epochs != len(self.rounds):
            self._let_go()
            raise ValueError(
                f"LotteryTicket: epoch {epoch} belongs to training {epoch // self._epochs + 1}, "
                f"but {len(self.rounds)} are done: load the state of the run that this fit goes "
                "on from (load_state)"
            )
        if self.rounds and epoch % self._epochs == 0:
            # Not when the last training ended: a fit that stops there keeps what it trained.
            done = len(self.rounds)
            self._bound.prune(lambda final: 1 - (1 - final) ** (done / self._rounds))
            self.rewind()
            self._rewound = True

    def on_train_batch_begin(self, batch, logs=None):
        # Other callbacks may have put weights in since the fit or the epoch began.
        if self._rewind_step == 0 and self._remembered is None:
            self._remember()
        if self._rewound:
            self._rewound = False
            self.rewind()

    def on_train_batch_end(self, batch, logs=None):
        self._next_step = self._epoch_start + batch + 1
        if self._remembered is None and self._next_step >= self._rewind_step:
            self._remember()

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        sparsity = sparsity_of(self._bound.variables)
        if (epoch + 1) % self._epochs:
            return
        self.rounds.append(Round(sparsity, {k: float(v) for k, v in (logs or {}).items()}))

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        trainings = self._rounds + 1
        if len(self.rounds) < trainings:
            warnings.warn(
                f"LotteryTicket: the fit stopped after {len(self.rounds)} of {trainings} "
                f"trainings; sparsity is {sparsity_of(self._bound.variables):.1%}",
                stacklevel=2,
            )

    def _remember(self) -> None:
        optimizer = [ops.convert_to_numpy(v) for v in self.model.optimizer.variables]
        self._remembered = (self.model.get_weights(), optimizer)

    def _early(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        self._begun()
        if self._remembered is None:
            raise ValueError(
                f"LotteryTicket: step {self._rewind_step}, to rewind to, has not been reached yet"
            )
        return self._remembered

    def _put_back(self, remembered: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
        weights, optimizer = remembered
        self.model.set_weights(weights)
        for variable, value in zip(self.model.optimizer.variables, optimizer, strict=True):
            variable.assign(value)
        self._bound.apply()
        forget_altered(self._bound.variables)

    def _epochs_per_training(self, epochs: int) -> int:
        trainings = self._rounds + 1
        if epochs % trainings:
            raise ValueError(
                f"{self._rounds} rounds of pruning make {trainings} trainings of equal length: "
                f"`epochs` must be a multiple of {trainings}. Received: epochs={epochs}"
            )
        return epochs // trainings

    def _step_to_rewind_to(self) -> int:
        length = self._steps * self._epochs if self._steps else None
        if is_whole(self.rewind_to):
            step = int(self.rewind_to)
        elif length is None:
            raise ValueError(
                f"`rewind_to`={self.rewind_to} is a fraction of a training, but its length is "
                "unknown: pass `steps_per_epoch` to `fit`, or give a step (int)"
            )
        else:
            step = round(self.rewind_to * length)
        if length is not None and step >= length:
            raise ValueError(
                f"`rewind_to` must lie within the first training of {length} steps. Received: "
                f"rewind_to={self.rewind_to}"
            )
        return step

    def _state(self) -> State:
        weights, optimizer = self._early()
        state = {
            "step": np.array(self._next_step),
            "rounds": np.array(json.dumps([asdict(done) for done in self.rounds])),
            **pack("mask", self._bound.kernels, self._bound.held),
        }
        for name, arrays in (("weight", weights), ("optimizer", optimizer)):
            state |= {f"{name}:{number}": array for number, array in enumerate(arrays)}
        return state

    def _take_up_state(self, state: State) -> list[np.ndarray]:
        self._next_step = int(state["step"])
        self.rounds = [Round(**done) for done in json.loads(str(state["rounds"]))]
        self._remembered = tuple(
            [state[f"{name}:{number}"] for number in range(len(variables))]
            for name, variables in (
                ("weight", self.model.weights),
                ("optimizer", self.model.optimizer.variables),
            )
        )
        return unpack("mask", self._bound.kernels, state)


def _rounds_for(sparsity: float | Mapping[str, float]) -> int:
    most = max(sparsity.values()) if isinstance(sparsity, Mapping) else sparsity
    return max(1, round(math.log(1 - most) / math.log(1 - _RATE)))
