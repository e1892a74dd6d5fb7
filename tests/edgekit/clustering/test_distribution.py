from tests.two_devices import run_on_two_devices

CODE = """
for make in (
    lambda: ek.WeightClustering(6),
    lambda: ek.WeightClustering(6, gradient="sum"),
    lambda: ek.WeightClustering(6, refresh=2),
    lambda: ek.WeightClustering("ternary"),
    lambda: ek.WeightClustering(bits="auto", max_bytes=400),
):
    with mirrored().scope():
        model = make_cnn()
        model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[make()])
    values = np.unique(equal_replicas(model.get_layer("conv").kernel))
    assert len(values) <= 256 // 2, len(values)
"""


def test_values_are_equal_on_all_replicas():
    run_on_two_devices(CODE)
