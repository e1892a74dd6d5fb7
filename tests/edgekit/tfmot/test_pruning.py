"""TFMOT's pruning with edgekit's arguments; each test closes one of its traps."""

import numpy as np
import pytest

import edgekit as ek
from edgekit import tfmot


def zeros(model) -> dict:
    return {
        layer.name: float(np.mean(layer.kernel.numpy() == 0))
        for layer in model.layers
        if hasattr(layer, "kernel")
    }


SCHEDULES = [
    None,
    ek.schedules.Constant(),
    ek.schedules.OneShot(0.5),
    ek.schedules.Polynomial(begin=2, end=15, initial=0.2, every=3),
    ek.schedules.Cosine(),
    ek.schedules.Iterative(3),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_schedule_of_ours_ends_at_the_sparsity(old_net, train, schedule):
    pruned, callbacks = tfmot.prune(old_net, 0.75, schedule)
    train(pruned, callbacks)
    found = zeros(tfmot.strip(pruned))
    assert (found["conv"], found["pointwise"], found["classes"]) == (0.75, 0.75, 0.75)
    assert found.get("depthwise", 0) == 0


def test_the_levels_are_those_of_our_schedule(old_net, train, tk):
    schedule = ek.schedules.Polynomial(begin=4, end=20, every=4)
    pruned, callbacks = tfmot.prune(old_net, 0.8, schedule, layers="pointwise")
    (layer,) = [x for x in pruned.layers if type(x).__name__ == "PruneLowMagnitude"]
    seen = []

    class Watch(tk.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(np.mean(layer.pruning_vars[0][1].numpy() == 0)))

    train(pruned, [*callbacks, Watch()])
    size, plan, wanted = 16 * 8, schedule.plan(24), 0.0
    for step, found in enumerate(seen):
        if step in (4, 8, 12, 16, 20):
            wanted = plan.sparsity(step, 0.8)
        assert abs(found - wanted) <= 1 / size, step


def test_a_fit_that_begins_later_ends_at_the_sparsity_too(old_net, images, tk):
    pruned, callbacks = tfmot.prune(old_net, 0.75)
    pruned.compile(tk.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    for _ in range(2):
        pruned.fit(*images, initial_epoch=4, epochs=5, callbacks=callbacks, verbose=0)
        assert zeros(tfmot.strip(pruned))["pointwise"] == 0.75


def test_a_layer_of_which_a_pattern_zeroes_nothing_is_no_candidate(tk):
    layers = tk.layers
    net = tk.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(8, 3, name="first"), layers.Conv2D(2, 3, name="b")]
    )
    with pytest.raises(ValueError, match="'first', which matches no layer"):
        tfmot.prune(net, granularity=(2, 4), layers="first")
    pruned, _ = tfmot.prune(net, granularity=(2, 4))
    assert [type(x).__name__ for x in pruned.layers] == ["Conv2D", "PruneLowMagnitude"]


def test_what_tfmot_cannot_begin_with_is_refused(old_net, tk):
    layers = tk.layers
    half = layers.Dense(2, dtype="mixed_float16", name="half")
    with pytest.raises(ValueError, match="float32 only: 'half' computes in float16"):
        tfmot.prune(tk.Sequential([layers.Input((4,)), half]), 0.5)
    broken = tk.models.clone_model(old_net)
    broken.get_layer("classes").bias.assign([0, np.nan, 0])
    for function, arguments in (
        (tfmot.prune, (0.5,)),
        (tfmot.cluster, (4,)),
        (tfmot.quantize_aware, ()),
        (tfmot.preserve, ("PQAT",)),
    ):
        with pytest.raises(ValueError, match="'classes' are not finite"):
            function(broken, *arguments)
    pruned, _ = tfmot.prune(old_net, 0.5)
    qat, _ = tfmot.quantize_aware(old_net)
    for model in (pruned, qat):
        for function in (tfmot.cluster, tfmot.prune):
            with pytest.raises(ValueError, match="wrappers already: ek.tfmot.strip it first"):
                function(model, 4)


def test_a_pattern_is_made_of_input_channels(old_net, train):
    pruned, callbacks = tfmot.prune(old_net, granularity=(1, 4), layers=["pointwise", "classes"])
    train(pruned, callbacks)
    stripped = tfmot.strip(pruned)
    for name in ("pointwise", "classes"):
        kernel = stripped.get_layer(name).kernel.numpy()
        rows = np.moveaxis(kernel, -2, -1).reshape(-1, 4)
        assert np.all((rows != 0).sum(axis=1) == 1), name


def test_blocks_are_of_dense_kernels(old_net, train):
    block = ek.granularities.Block(4, 1)
    pruned, callbacks = tfmot.prune(old_net, 0.5, granularity=block)
    train(pruned, callbacks)
    found = zeros(tfmot.strip(pruned))
    assert (found["classes"], found["conv"]) == (0.5, 0)


def test_sparsity_by_layer(old_net, train):
    pruned, callbacks = tfmot.prune(old_net, {"classes": 0.5, "^conv$": 0.75})
    train(pruned, callbacks)
    found = zeros(tfmot.strip(pruned))
    assert (found["classes"], found["conv"], found["pointwise"]) == (0.5, 0.75, 0)


def test_the_source_stays_as_it_is(old_net, train):
    before = [w.copy() for w in old_net.get_weights()]
    pruned, callbacks = tfmot.prune(old_net, 0.8)
    train(pruned, callbacks)
    for weight, kept in zip(old_net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_a_fit_too_short_for_the_schedule_is_refused(old_net, train):
    pruned, callbacks = tfmot.prune(old_net, 0.8, ek.schedules.Polynomial(end=500))
    with pytest.raises(ValueError, match="ends at step 500, but the fit has only 24 steps"):
        train(pruned, callbacks)


def test_masks_are_in_the_weights_when_stripped(old_net, images, tk):
    """TFMOT's own strip_pruning leaves what the last step did to masked weights."""
    pruned, callbacks = tfmot.prune(old_net, 0.75, ek.schedules.Constant())
    pruned.compile(tk.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    pruned.fit(*images, callbacks=callbacks, verbose=0)
    pruned.train_on_batch(images[0][:32], images[1][:32])
    assert zeros(tfmot.strip(pruned))["pointwise"] == 0.75


def test_a_layer_that_tfmot_does_not_know_stays_as_it_is(tk, train):
    layers = tk.layers
    net = tk.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Rescaling(0.5),
            layers.Conv2D(8, 3, name="conv"),
            layers.PReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, "softmax"),
        ]
    )
    pruned, callbacks = tfmot.prune(net, 0.75, layers="conv")
    train(pruned, callbacks)
    assert zeros(tfmot.strip(pruned))["conv"] == 0.75


def test_models_inside_models_are_pruned_too(tk, train):
    layers = tk.layers
    base = tk.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(8, 3, name="inner"), layers.GlobalAvgPool2D()],
        name="base",
    )
    net = tk.Sequential([layers.Input((8, 8, 3)), base, layers.Dense(3, "softmax", name="head")])
    pruned, callbacks = tfmot.prune(net, 0.75)
    train(pruned, callbacks)
    plain = tfmot.strip(pruned)
    assert zeros(plain)["head"] == 0.75
    assert zeros(plain.get_layer("base"))["inner"] == pytest.approx(0.75, abs=0.01)


def test_bad_arguments_say_so(old_net, tk):
    for arguments, message in {
        (1.5,): "must be from 0 to below 1. Received: 1.5",
        (None,): "`sparsity` is needed",
        (0.5, None, "filter"): "TFMOT prunes no others. Received: 'filter'",
        (0.8, None, (2, 4)): "makes 50% zeros: leave `sparsity` out. Received: sparsity=0.8",
        (None, None, (4, 2)): r"keeps n of m weights.*granularity=\(4, 2\)",
        (0.5, None, "weight", "nowhere"): "matches no layer",
    }.items():
        with pytest.raises(ValueError, match=message):
            tfmot.prune(old_net, *arguments)
    for schedule in (0.5, ek.schedules.Polynomial):
        with pytest.raises(TypeError, match="`schedule` must be an ek.schedules object"):
            tfmot.prune(old_net, 0.5, schedule)
    with pytest.raises(ValueError, match="must be a model of tf_keras or Keras 3. Received: int"):
        tfmot.prune(3, 0.5)
    with pytest.raises(ValueError, match="'empty' is not built"):
        tfmot.prune(tk.Sequential([tk.layers.Dense(2)], name="empty"), 0.5)
    with pytest.raises(ValueError, match="'old' has no layer of TFMOT"):
        tfmot.strip(old_net)
