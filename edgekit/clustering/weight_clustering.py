"""Weight sharing as a callback of `model.fit`."""

import warnings
from collections.abc import Mapping

from edgekit.clustering.bit_allocation import stored_bytes
from edgekit.clustering.clusterer import Clusterer, Count, checked_counts
from edgekit.clustering.clustering_callback import ClusteringCallback
from edgekit.clustering.clusters import Clusters, as_they_are
from edgekit.clustering.groups import Granularity
from edgekit.clustering.shared_values import GRADIENTS
from edgekit.core.arguments import check_whole
from edgekit.core.constraints import retrace_training
from edgekit.core.gradient_watch import GradientWatch
from edgekit.core.low_rank import warn_of_adapted
from edgekit.core.optimizers import innermost, optimizers_of
from edgekit.core.positions import check_position, to_step
from edgekit.core.selection import LayerFilter
from edgekit.core.step_counter import StepCounter

# Share of the fit in which gradients are watched, and after which nobody moves any more.
_WATCHED, _REFRESHED = 0.1, 0.75
_UNKNOWN_LENGTH = (
    "but the length of this fit is unknown: pass `steps_per_epoch` to `fit` (`steps` to "
    "ek.custom_loop)"
)


class WeightClustering(ClusteringCallback):
    """Lets the weights of each kernel share a few values, which train on.

    When the fit begins each kernel's weights are divided by k-means, run to its end. From then on,
    inside the compiled train step, the optimizer moves each weight and the weights of a cluster
    take the mean of what it made of them: the shared values train as in Deep Compression, at little
    cost, and every checkpoint is clustered. The model stays what it is: nothing is wrapped, nothing
    has to be stripped, inference costs nothing.

    A kernel that has no more distinct values than asked for keeps them: a second fit goes on
    where the first ended.

    Example:
        >>> model.fit(x, y, epochs=2, callbacks=[ek.WeightClustering(16)])
        >>> ek.WeightClustering({"conv": 64, "dense": 16}, init="density")
        >>> ek.WeightClustering(bits=4, granularity="channel")
        >>> ek.WeightClustering("ternary")
        >>> ek.WeightClustering(bits="auto", max_bytes=20_000)

    Args:
        clusters: How many distinct values a kernel may have, zero included; `"binary"` for −a and
            a; `"ternary"` for −a, 0 and a; or `{regex: one of these}` by layer path, which
            clusters the layers it names and no others. Defaults to `None`: see `bits`.
        init: Where k-means starts: `"linear"` (equal steps from the smallest weight to the
            largest, which keeps the few large ones and so serves accuracy best), `"density"`
            (equal steps of the distribution), `"random"` (Forgy) or `"kmeans++"`. Defaults to
            `"linear"`.
        keep_zeros: Whether weights that are zero stay zero: for pruned models. Defaults to
            `True`.
        layers: Which layers: a regular expression on the path, a list of them, or a callable.
            Defaults to `None`: every layer with a kernel; depthwise kernels, a few weights that
            each carry a whole channel, stay as they are unless named.
        bits: Instead of `clusters`, bits of an index: two to the power of it is the number of
            values. `"auto"` gives each kernel as many as spoil the loss least within `max_bytes`.
            Defaults to `None`.
        max_bytes: For `bits="auto"`: what all clustered kernels may take together, indices at
            their entropy and codebooks in float32; kernels that take no more keep their values.
            Defaults to `None`.
        granularity: What shares a codebook: the `"tensor"`, each output `"channel"`, or groups
            of so many output channels. Defaults to `"tensor"`.
        gradient: Whether a value moves by the `"mean"` of its members' steps, or by their
            `"sum"` as in the paper, which needs plain SGD and a learning rate so much smaller.
            Defaults to `"mean"`.
        refresh: Steps between two refreshes of who belongs to which cluster: weights move on by
            themselves in the background and join the value that is nearest. Refreshes end after
            three quarters of the fit. Defaults to `None`: fixed.
        begin: When weights are clustered: a step (int) or a fraction of the fit (float). Defaults
            to `None`: at once; with `bits="auto"` after a tenth of the fit, in which gradients
            are watched.
        seed: Of the inits that draw. Defaults to `0`.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: One outside its range, both `clusters` and `bits`, a selection without a
            kernel, or, when weights are clustered, `max_bytes` too small.

    Source: Han et al. 2015, "Deep Compression", arXiv 1510.00149, section 3; binary and ternary
    values, Rastegari et al. 2016, arXiv 1603.05279, and Li et al. 2016, arXiv 1605.04711.
    """

    def __init__(
        self,
        clusters: Count | Mapping[str, Count] | None = None,
        init: str = "linear",
        keep_zeros: bool = True,
        layers: LayerFilter = None,
        *,
        bits: int | str | Mapping[str, int] | None = None,
        max_bytes: int | None = None,
        granularity: Granularity = "tensor",
        gradient: str = "mean",
        refresh: int | None = None,
        begin: int | float | None = None,
        seed: int = 0,
    ):
        super().__init__()
        counts = checked_counts(clusters, bits)
        if (counts is None) != (max_bytes is not None):
            raise ValueError(
                "`max_bytes` and bits='auto' belong together. Received: "
                f"bits={bits!r}, max_bytes={max_bytes!r}"
            )
        if max_bytes is not None:
            check_whole("max_bytes", max_bytes)
        if isinstance(counts, Mapping) and layers is not None:
            raise ValueError("{regex: clusters} names the layers itself: leave `layers` out")
        if gradient not in GRADIENTS:
            raise ValueError(f"`gradient` must be 'mean' or 'sum'. Received: gradient={gradient!r}")
        if refresh is not None:
            check_whole("refresh", refresh)
        if begin is not None:
            check_position("begin", begin)
        self._clusterer = Clusterer(counts, init, keep_zeros, granularity, max_bytes, seed)
        self._layers = list(counts) if isinstance(counts, Mapping) else layers
        self._keep_zeros, self._gradient = keep_zeros, gradient
        self._refresh, self._begin = refresh, begin

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._watch: GradientWatch | None = None
        self._check_optimizer()
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        self._counter, self._started = StepCounter(steps), False
        self._plan(steps * epochs if steps else None)
        named = isinstance(self._clusterer.counts, Mapping)
        warn_of_adapted("WeightClustering", self.model, self._layers)
        self._kernels = self._find_kernels(self._layers, argument="clusters" if named else "layers")
        if self._clusterer.counts is None:
            found = [as_they_are(kernel.weights) for kernel in self._kernels]
            if sum(map(stored_bytes, found)) <= self._clusterer.max_bytes:
                self._hold_clusters(found)  # as after an earlier fit
            else:
                self._watch_gradients()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._counter.begin_epoch(epoch)
        if self._held is not None and self._gradient == "sum":
            self._held.follow()

    def on_train_batch_begin(self, batch, logs=None):
        # Not when the fit begins: callbacks behind this one may put other weights in then.
        step = self._counter.begin_batch(batch)
        if not self._started:
            self._started = True
            self._start(step)
        if step is None:
            return
        if self._held is None:
            if step >= self._first_step:
                self._cluster()
        elif self._refreshes(step):
            self._held.refresh()
            self._refreshed = step

    def on_train_batch_end(self, batch, logs=None):
        self._counter.end_batch(batch)
        self._verify_once()

    def on_epoch_end(self, epoch, logs=None):
        self._counter.end_epoch(epoch)
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if self._held is None:
            self._end_watch()
            warnings.warn(
                f"WeightClustering: the fit stopped after {self._counter.done} steps, before "
                f"weights are clustered at step {self._first_step}",
                stacklevel=2,
            )

    def _start(self, step: int | None) -> None:
        """Take up what an earlier fit, that this one goes on from, has left.

        Args:
            step: Where in the fit this is; None in its first epoch where that is not known.
        """
        if self._held is not None:
            return
        if step is None and self._clusterer.counts is not None:
            clustered = [k for k in self._kernels if as_they_are(k.weights).shared]
            if len(clustered) == len(self._kernels):
                self._cluster()  # they keep the values that they have
        elif step is not None and self._watch is not None and step >= self._first_step:
            # No gradients have been seen in this process: watch some before weights are clustered.
            self._first_step = step + max(1, self._watched_steps)

    def _check_optimizer(self) -> None:
        for optimizer in optimizers_of(self.model):
            for each in innermost(optimizer):
                overwrites = getattr(each, "ema_overwrite_frequency", None)
                if self._gradient == "sum" and getattr(each, "use_ema", False) and overwrites:
                    raise ValueError(
                        "gradient='sum' adds up the steps of weights, and an optimizer that "
                        "writes averages over them leaves none to see. Received: "
                        f"ema_overwrite_frequency={overwrites}; leave it None"
                    )

    def _plan(self, total_steps: int | None) -> None:
        auto = self._clusterer.counts is None
        begin = self._begin
        if total_steps is None and self._refresh:
            raise ValueError(f"refreshes end after three quarters of the fit, {_UNKNOWN_LENGTH}")
        if begin is None:
            if total_steps is None and auto:
                raise ValueError(
                    "bits='auto' watches gradients in the first tenth of the fit, "
                    f"{_UNKNOWN_LENGTH}, or give `begin` as a step (int)"
                )
            begin = _WATCHED if auto else 0
        self._first_step = max(to_step("begin", begin, total_steps), int(auto))
        self._watched_steps = round(_WATCHED * total_steps) if total_steps else self._first_step
        if total_steps is not None and self._first_step >= total_steps:
            raise ValueError(
                f"weights are clustered at step {self._first_step}, but the fit has only "
                f"{total_steps} steps (0 to {total_steps - 1}): train longer or set `begin` earlier"
            )
        self._refreshed = self._first_step
        if self._refresh:
            self._last_refresh = to_step("refresh", _REFRESHED, total_steps)

    def _refreshes(self, step: int) -> bool:
        if not self._refresh or step > self._last_refresh:
            return False
        # Not by the remainder: with `steps_per_execution` only some steps are seen.
        past, due = ((s - self._first_step) // self._refresh for s in (self._refreshed, step))
        return due > past

    def _watch_gradients(self) -> None:
        variables = [kernel.variable for kernel in self._kernels]
        self._watch = GradientWatch(self.model, variables, lambda weight, gradient: gradient**2)
        retrace_training(self.model)
        self._has_taken_hold()

    def _let_go(self) -> None:
        self._end_watch()
        super()._let_go()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.release()
            self._watch = None

    def _cluster(self) -> None:
        curvatures = self._watch.read() if self._watch else None
        self._end_watch()
        empty = [k.variable.path for k in self._kernels if not k.weights.any()]
        if empty:
            warnings.warn(
                f"WeightClustering leaves {', '.join(empty)} alone: all weights are zero, and "
                "would stay so",
                stacklevel=2,
            )
            left = [i for i, kernel in enumerate(self._kernels) if kernel.weights.any()]
            self._kernels = [self._kernels[i] for i in left]
            curvatures = curvatures and [curvatures[i] for i in left]
        self._hold_clusters(self._clusterer.cluster(self._kernels, curvatures))

    def _hold_clusters(self, clusters: list[Clusters]) -> None:
        self._hold(
            clusters,
            keep_zeros=self._keep_zeros,
            gradient=self._gradient,
            latent=self._refresh is not None,
        )
