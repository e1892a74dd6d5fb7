"""Zeros of TFMOT's pruning hold through a fit, whoever else writes weights in it."""

import numpy as np
import pytest

import edgekit as ek
from edgekit import tfmot


def masked(pruned) -> dict:
    """`{layer: share that is masked}` of what TFMOT wrapped."""
    return {
        layer.layer.name: float(np.mean(layer.pruning_vars[0][1].numpy() == 0))
        for layer in pruned.layers
        if type(layer).__name__ == "PruneLowMagnitude"
    }


def watch(tk, pruned, seen):
    def look(batch, logs):
        seen.append(masked(pruned))

    return tk.callbacks.LambdaCallback(on_train_batch_end=look)


@pytest.fixture(scope="module")
def wide(tk):
    """A Dense net whose kernel has 1,000 weights."""
    layers = tk.layers
    net = [layers.Input((40,)), layers.Dense(25, name="wide"), layers.Dense(3, "softmax")]
    return tk.Sequential(net)


@pytest.fixture(scope="module")
def rows():
    x = np.random.default_rng(0).normal(size=(128, 40)).astype("float32")
    return x, x[:, :3].argmax(-1)


def fit(tk, model, rows, callbacks, **options):
    model.compile(tk.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", **options)
    model.fit(*rows, batch_size=16, epochs=3, callbacks=callbacks, verbose=0)


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_weights_that_early_stopping_restores_get_the_zeros_of_the_end(tk, wide, rows, first):
    pruned, ours = tfmot.prune(wide, 0.5, layers="wide")
    worst = tk.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    callbacks = [worst, *ours] if first else [*ours, worst]
    with pytest.warns(UserWarning, match="weights back that were pruned less"):
        fit(tk, pruned, rows, callbacks)
    assert masked(pruned)["wide"] == 0.5
    assert np.mean(pruned.layers[0].layer.kernel.numpy() == 0) == 0.5  # before strip, too
    assert np.mean(tfmot.strip(pruned).get_layer("wide").kernel.numpy() == 0) == 0.5


def test_weights_put_back_in_between_do_not_put_back_the_schedule(tk, wide, rows):
    pruned, ours = tfmot.prune(wide, 0.5, layers="wide")
    early = pruned.get_weights()
    back = tk.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: pruned.set_weights(early) if epoch == 1 else None
    )
    with pytest.warns(UserWarning, match="weights back that were pruned less"):
        fit(tk, pruned, rows, [*ours, back])
    assert np.mean(tfmot.strip(pruned).get_layer("wide").kernel.numpy() == 0) == 0.5


@pytest.mark.parametrize("several", [1, 3])
def test_a_second_prune_starts_from_the_zeros_that_are_there(tk, wide, rows, several):
    sparse = tk.models.clone_model(wide)
    kernel = np.random.default_rng(1).normal(size=(40, 25)).astype("float32")
    kernel[np.abs(kernel) <= np.quantile(np.abs(kernel), 0.7)] = 0
    sparse.get_layer("wide").kernel.assign(kernel)
    pruned, ours = tfmot.prune(sparse, 0.9, layers="wide")
    seen = []
    callbacks = [*ours, watch(tk, pruned, seen)]
    fit(tk, pruned, rows, callbacks, steps_per_execution=several)
    shares = [masks["wide"] for masks in seen]
    assert min(shares) == 0.7
    assert shares == sorted(shares)
    final = tfmot.strip(pruned).get_layer("wide").kernel.numpy()
    assert np.mean(final == 0) == 0.9
    assert not final[kernel == 0].any()  # none has grown again


def test_of_fewer_zeros_than_there_are_the_smallest_stay(tk, wide, rows):
    sparse = tk.models.clone_model(wide)
    kernel = np.random.default_rng(1).normal(size=(40, 25)).astype("float32")
    kernel[np.abs(kernel) <= np.quantile(np.abs(kernel), 0.7)] = 0
    sparse.get_layer("wide").kernel.assign(kernel)
    pruned, ours = tfmot.prune(sparse, 0.5, ek.schedules.Constant(), layers="wide")
    fit(tk, pruned, rows, ours)
    final = tfmot.strip(pruned).get_layer("wide").kernel.numpy()
    assert np.mean(final == 0) == 0.5
    assert not np.any((final == 0) & (kernel != 0))


def test_blocks_start_from_blocks_of_zeros(tk, wide, rows):
    sparse = tk.models.clone_model(wide)
    kernel = np.random.default_rng(1).normal(size=(40, 25)).astype("float32")
    kernel[:20] = 0
    kernel[20, 0] = 0  # one of a block, which stays
    sparse.get_layer("wide").kernel.assign(kernel)
    block = ek.granularities.Block(4, 2)
    pruned, ours = tfmot.prune(sparse, 0.75, granularity=block, layers="wide")
    seen = []
    fit(tk, pruned, rows, [*ours, watch(tk, pruned, seen)])
    assert seen[0]["wide"] == 0.5  # whole blocks of zeros, and none of another
    assert seen[-1]["wide"] > 0.7


def test_a_layer_without_kernels_is_no_candidate(tk):
    layers = tk.layers
    net = tk.Sequential(
        [
            layers.Input((4, 8, 2)),
            layers.LayerNormalization(axis=[2, 3], name="norm"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )
    with pytest.raises(ValueError, match="'norm', which matches no layer"):
        tfmot.prune(net, 0.5, layers="norm")
    pruned, _ = tfmot.prune(net, 0.5)
    assert list(masked(pruned)) == ["head"]
