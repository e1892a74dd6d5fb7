import numpy as np

from edgekit.pipeline.digits import build_ds_cnn, load_digits


def test_split_is_fair_and_seeded():
    digits = load_digits(seed=1)
    assert digits.x_train.shape == (21000, 28, 28, 1)
    assert digits.x_test.shape == (1500, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(digits.y_test), 150)
    assert digits.x_train.dtype == np.float32
    assert 0 <= digits.x_train.min() <= digits.x_train.max() <= 1
    np.testing.assert_array_equal(digits.x_train, load_digits(seed=1).x_train)
    assert not np.array_equal(digits.x_test, load_digits(seed=2).x_test)


def test_no_test_image_is_trained_on():
    digits = load_digits()
    train = {image.tobytes() for image in digits.x_train[:3500]}
    shared = sum(image.tobytes() in train for image in digits.x_test)
    assert shared == 0


def test_network_starts_the_same_for_the_same_seed():
    a, b = build_ds_cnn(3), build_ds_cnn(3)
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
