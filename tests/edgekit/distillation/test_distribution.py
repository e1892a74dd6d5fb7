import pytest

from tests.two_devices import run_on_two_devices

CODE = """
D = ek.distillation

def trained(strategy, make):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        student, teacher = ek.narrow(make_cnn(), 0.5), make_cnn()
        for net in (student, teacher):  # so that replicas see what one device sees
            for layer in net.layers:
                if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Dropout)):
                    layer.trainable, layer.rate = False, 0.0
        model = make(student, teacher)
        model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False)
    return student

make = {make}
alone = trained(tf.distribute.get_strategy(), make)
both = trained(mirrored(), make)
kernel = equal_replicas(both.get_layer("conv").kernel)
np.testing.assert_allclose(kernel, np.asarray(alone.get_layer("conv").kernel), atol=1e-5)
"""


LOSSES = '[D.SoftTargets(), D.Hints("conv"), D.AttentionTransfer("conv")]'


# Each in a process of its own: the collectives of one strategy meet those of the next.
@pytest.mark.parametrize(
    "make",
    [
        f"lambda s, t: ek.distill(s, t, {LOSSES})",
        "lambda s, t: ek.distill(s, lambda inputs: t(inputs).numpy())",
        "lambda s, t: D.MutualLearning([s, t])",
    ],
    ids=["features", "function", "mutual"],
)
def test_a_student_learns_on_two_devices_what_it_learns_on_one(make):
    run_on_two_devices(CODE.format(make=make))
