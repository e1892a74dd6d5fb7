"""Whole models of tf_keras: their structure is kept, and all of it that cannot be is named."""

import numpy as np
import pytest

tk = pytest.importorskip("tf_keras")
L = tk.layers


def migrate(model, **options):
    from converters.legacy import migrate as migrate_model

    return migrate_model(with_random_weights(model), **options)


def with_random_weights(model):
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def branch():
    """A net that others have inside, with statistics of its own."""
    x = tk.Input((8, 8, 3))
    y = L.BatchNormalization()(L.Conv2D(4, 3)(x))
    return tk.Model(x, L.GlobalAveragePooling2D()(y), name="branch")


def test_a_class_with_keras_s_own_call_is_a_graph():
    class Trained(tk.Model):
        def train_step(self, data):
            return {}

    class Called(tk.Sequential):
        def call(self, x, training=None, mask=None):
            return 2 * super().call(x, training, mask)

    image = tk.Input((4,))
    found = migrate(Trained(image, L.Dense(2)(image), name="own"))
    assert found.difference.relative < 1e-6
    assert "the class Trained of 'own' stays behind" in " ".join(found.notes)
    with pytest.raises(ValueError, match="Called 'twice' is a class of its own"):
        migrate(Called([L.Input((4,)), L.Dense(2)], name="twice"))


def test_a_frozen_part_stays_frozen_with_its_layers_as_they_were():
    image = tk.Input((8, 8, 3))
    net = branch()
    net.trainable = False
    net.layers[1].trainable = True
    found = migrate(tk.Model(image, L.Dense(2)(net(image, training=False))))
    part = found.model.get_layer("branch")
    assert not part.trainable
    assert [layer.trainable for layer in part.layers[1:3]] == [True, False]
    assert not any("called with training=False" in note for note in found.notes)


def test_many_new_names_are_one_note():
    layers = [L.Dense(2, name=f"block/dense_{n}") for n in range(5)]
    found = migrate(tk.Sequential([L.Input((4,)), *layers]))
    (note,) = found.notes
    assert note.startswith("'block/dense_0' is called 'block_dense_0', and 4 more so")


def test_other_shapes_are_named():
    with pytest.raises(ValueError, match="gives outputs of shape"):
        migrate(tk.Sequential([L.Input((8, 8, 3)), L.RandomCrop(4, 4)]))


def test_shared_layers_are_one_layer():
    a, b = tk.Input((4,), name="a"), tk.Input((4,), name="b")
    dense = L.Dense(3, name="dense")
    found = migrate(tk.Model([a, b], L.Concatenate()([dense(a), dense(b)])))
    assert found.difference.relative < 1e-6
    assert len(found.model.weights) == 2


def test_models_inside_models_stay_models():
    image = tk.Input((8, 8, 3))
    net = branch()
    out = L.Dense(2)(L.Add()([net(image), net(L.Rescaling(0.5)(image))]))
    found = migrate(tk.Model(image, tk.Sequential([L.Input((2,)), L.ReLU()], name="end")(out)))
    assert found.difference.relative < 1e-5
    assert {"branch", "end"} <= {layer.name for layer in found.model.layers}


def test_inputs_and_outputs_keep_their_structure_and_order():
    a, b = tk.Input((4,), name="b_first"), tk.Input((3,), dtype="int32", name="a_second")
    x = L.Concatenate()([a, L.Flatten()(L.Embedding(5, 2)(b))])
    outputs = {"z": L.Dense(2, name="z")(x), "a": L.Dense(3, name="a")(x)}
    found = migrate(tk.Model({"b_first": a, "a_second": b}, outputs))
    assert found.difference.relative < 1e-6
    answers = found.model({"b_first": np.ones((1, 4)), "a_second": np.ones((1, 3), "int32")})
    assert {name: tuple(value.shape) for name, value in answers.items()} == {
        "z": (1, 2),
        "a": (1, 3),
    }


def test_a_part_called_for_inference_is_told():
    """Keras 3 hands `training` of fit on to every layer."""
    image = tk.Input((8, 8, 3))
    found = migrate(tk.Model(image, L.Dense(2)(branch()(image, training=False))))
    assert found.difference.relative < 1e-5
    assert any("'branch' was called with training=False" in note for note in found.notes)


def test_masks_and_initial_states_go_along():
    x, state = tk.Input((None, 4)), tk.Input((5,))
    masked = L.Masking()(x)
    y = L.LSTM(5)(masked, initial_state=[state, state])
    z = L.Bidirectional(L.GRU(5))(masked, initial_state=[state, state])
    found = migrate(tk.Model([x, state], L.Concatenate()([y, z])))
    assert found.difference.relative < 1e-5
    values = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    values[:, 3:] = 0  # what is masked does not count
    answers = [
        found.model([v, np.zeros((2, 5), "float32")]) for v in (values, values[:, :3].copy())
    ]
    np.testing.assert_allclose(*answers, atol=1e-5)


def test_attention_keeps_its_three_inputs():
    x = tk.Input((6, 4))
    y = L.MultiHeadAttention(2, 3, value_dim=5)(x, x, key=L.Dense(4)(x))
    found = migrate(tk.Model(x, L.Attention()([y, y])))
    assert found.difference.relative < 1e-5


def test_frozen_layers_stay_frozen():
    model = tk.Sequential([L.Input((4,)), L.Dense(3, trainable=False), L.BatchNormalization()])
    found = migrate(model).model
    assert len(found.trainable_weights) == 2
    assert [layer.trainable for layer in found.layers] == [False, True]


def test_regularizers_and_constraints_go_along():
    model = tk.Sequential(
        [
            L.Input((4,)),
            L.Dense(3, kernel_regularizer=tk.regularizers.L2(0.25), activity_regularizer="l1"),
            L.Dense(3, kernel_constraint=tk.constraints.MaxNorm(2.0)),
        ]
    )
    first, second = migrate(model).model.layers
    assert float(first.kernel_regularizer.l2) == 0.25
    assert first.activity_regularizer is not None
    assert second.kernel_constraint.max_value == 2.0


def test_mixed_precision_stays():
    model = tk.Sequential(
        [L.Input((4,)), L.Dense(3, dtype=tk.mixed_precision.Policy("mixed_float16"))]
    )
    assert migrate(model).model.layers[0].dtype_policy.name == "mixed_float16"


def test_layers_of_the_users_own_need_a_keras_3_class(own_layers):
    old, new = own_layers
    model = tk.Sequential([L.Input((4,)), old(), L.Dense(2)])
    with pytest.raises(ValueError, match=r"custom_objects=\{'Scale': \(old class, new class\)\}"):
        migrate(model)
    assert migrate(model, custom_objects={"Scale": new}).difference.relative < 1e-6
    assert migrate(model, custom_objects={"Scale": own_layers}).difference.relative < 1e-6


def test_all_that_has_no_counterpart_is_named_at_once():
    x = tk.Input((8, 8, 3))
    y = L.LocallyConnected2D(2, 3, name="local")(x)
    y = L.BatchNormalization(axis=[1, 3], name="axes")(y)
    y = L.LSTM(3, time_major=True, name="time")(L.Reshape((6, 12))(y))
    with pytest.raises(ValueError) as error:
        migrate(tk.Model(x, y, name="net"))
    for part in (
        "model 'net'",
        "LocallyConnected2D 'local'",
        "'axes' has axis",
        "'time' has time_major",
    ):
        assert part in str(error.value)


def test_a_setting_that_keras_3_lacks_is_named():
    model = tk.Sequential([L.Input((6, 4)), L.LSTM(3, time_major=True, name="lstm")])
    with pytest.raises(ValueError, match="LSTM 'lstm' has time_major=True, which Keras 3 has not"):
        migrate(model)


def test_subclassed_and_unbuilt_models_are_refused():
    class Net(tk.Model):
        def call(self, x):
            return x

    from converters.legacy import migrate

    with pytest.raises(ValueError, match="'net' is a class of its own"):
        migrate(Net(name="net"))
    with pytest.raises(ValueError, match="'empty' has no known input shape: build it first"):
        migrate(tk.Sequential([L.Dense(2)], name="empty"))


def test_names_with_slashes_are_told():
    found = migrate(tk.Sequential([L.Input((4,)), L.Dense(2, name="block/dense")]))
    assert found.model.layers[0].name == "block_dense"
    assert any("'block/dense' is called 'block_dense'" in note for note in found.notes)


def test_what_training_alone_would_do_is_refused():
    x = tk.Input((50,))
    with pytest.raises(ValueError, match="was called with training=True, which Keras 3 forgets"):
        migrate(tk.Model(x, L.Dropout(0.5)(x, training=True)))


def test_a_batchnorm_called_for_inference_is_told():
    x = tk.Input((5,))
    found = migrate(tk.Model(x, L.BatchNormalization(name="bn")(x, training=False)))
    assert any("'bn' was called with training=False" in note for note in found.notes)


def test_a_mask_that_keras_3_forgets_shows():
    """Of a masked and an unmasked tensor, Keras 2 keeps the mask, Keras 3 drops it."""
    words, values = tk.Input((12,), dtype="int32"), tk.Input((12, 5))
    masked = L.Embedding(20000, 8, mask_zero=True)(words)
    y = L.GlobalAveragePooling1D()(L.Add(name="add")([masked, L.Dense(8)(values)]))
    with pytest.raises(ValueError, match="answers otherwise in Keras 3"):
        migrate(tk.Model([words, values], L.Dense(2)(y)))


def test_a_mask_value_that_is_not_zero_shows():
    x = tk.Input((6, 4))
    masked = L.Masking(mask_value=-1.0)(x)
    both = L.Add()([masked, L.Dense(4)(x)])
    with pytest.raises(ValueError, match="answers otherwise in Keras 3"):
        migrate(tk.Model(x, L.LSTM(3)(both)))


def test_wrong_weights_of_a_net_for_pixels_show():
    """In a part that only images reach: samples are pixels too."""
    from converters.legacy.comparison import answers, distance, random_inputs

    def net():
        layers = [L.Rescaling(1 / 255), L.Conv2D(3, 3, padding="same", activation="relu")]
        return tk.Sequential([L.Input((8, 8, 3)), *layers, L.Flatten(), L.Dense(3, "softmax")])

    one, other = with_random_weights(net()), net()
    weights = one.get_weights()
    other.set_weights([-weights[0][::-1], *weights[1:]])
    inputs = random_inputs(one)
    found = distance(answers(one, inputs), answers(other, inputs), len(inputs[0]))
    assert found.relative > 1e-2


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (L.Activation("linear"), None),
        (L.Lambda(lambda x: x / 0.0 * 0.0), "most outputs are not finite"),
        (L.Lambda(lambda x: x * 0.0), "the outputs are the same for all samples"),
    ],
)
def test_answers_that_prove_nothing_are_not_compared(layer, reason):
    from converters.legacy import migrate

    found = migrate(tk.Sequential([L.Input((4,)), layer]))
    assert (found.difference is None) is (reason is not None)
    assert all(reason in note for note in found.notes)


def test_words_are_drawn_for_an_embedding_of_a_float_input():
    model = tk.Sequential([L.Embedding(1000, 8, input_length=5), L.LSTM(4), L.Dense(1)])
    assert migrate(model).difference.relative < 1e-5


def test_states_are_not_those_of_random_samples():
    x = tk.Input(batch_shape=(2, 5, 3))
    old = tk.Model(x, L.LSTM(4, stateful=True)(x))
    old(np.ones((2, 5, 3)))
    before = [np.array(state) for state in old.layers[1].states]
    found = migrate(old)
    assert found.difference.relative < 1e-5
    assert all(not np.any(state) for state in found.model.layers[1].states)
    for state, kept in zip(old.layers[1].states, before, strict=True):
        np.testing.assert_array_equal(state, kept)


def test_the_batch_of_the_first_samples_is_not_kept():
    model = tk.Sequential([L.Dense(4)])
    model(np.ones((16, 3)))
    assert migrate(model).model.inputs[0].shape == (None, 3)


def test_lookups_keep_their_words():
    import tensorflow as tf

    from converters.legacy import migrate  # their tables are no weights to be drawn

    x = tk.Input((3,), dtype="string")
    found = migrate(tk.Model(x, L.StringLookup(vocabulary=["a", "b"], name="words")(x)))
    assert "holds text" in found.notes[-1]
    answers = found.model(tf.constant([["b", "a", "c"]]))
    np.testing.assert_array_equal(answers, [[2, 1, 0]])
    adapted = L.TextVectorization(10, output_sequence_length=4, name="text")
    adapted.adapt(["one two", "two three"])
    text = tk.Input((), dtype="string")
    found = migrate(tk.Model(text, adapted(text)))
    np.testing.assert_array_equal(
        found.model(tf.constant(["three two"])), adapted(tf.constant(["three two"]))
    )
    with pytest.raises(ValueError, match="'empty' has no vocabulary"):
        migrate(tk.Model(x, L.StringLookup(name="empty")(x)))


def test_inputs_of_other_kinds_are_refused():
    x = tk.Input((4,), sparse=True, name="sparse_input")
    with pytest.raises(ValueError, match="'sparse_input' has sparse=True"):
        migrate(tk.Model(x, L.Dense(2)(x)))
