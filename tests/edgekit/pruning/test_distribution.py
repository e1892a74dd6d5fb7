import pytest

from tests.two_devices import run_on_two_devices

CODE = """
for make in (
    lambda: ek.GradualPruning(0.5),
    lambda: ek.GradualPruning(0.5, granularity="filter", criterion="taylor"),
    lambda: ek.GradualPruning(0.5, criterion="wanda"),
    lambda: ek.DynamicSparsity(0.5, every=2, scope="layer"),
    lambda: ek.LotteryTicket(0.5, rounds=2),
):
    keras.config.set_dtype_policy({policy!r})
    with mirrored().scope():
        model = make_cnn()
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    callback = make()
    model.fit(x, y, epochs=3, verbose=0, callbacks=[callback])
    kernel = equal_replicas(model.get_layer("conv").kernel)
    mask = callback.masks["conv/kernel"]
    np.testing.assert_array_equal(kernel != 0, mask)
    assert np.mean(mask) == 0.5, np.mean(mask)
"""


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_masks_are_equal_on_all_replicas(policy):
    run_on_two_devices(CODE.format(policy=policy))
