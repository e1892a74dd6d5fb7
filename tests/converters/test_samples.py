import numpy as np
import pytest

from converters.samples import load_samples, match_inputs

ONE = {"image": (None, 4, 4, 1)}
TWO = {"a": (1, 3), "b": (1, 2)}
GOOD = np.zeros((5, 4, 4, 1), "float32")


def match(samples, inputs=ONE):
    return match_inputs(samples, inputs, "calibration", in_order=True)


def test_one_input_in_every_form(tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    np.savez(tmp_path / "only.npz", anything=GOOD)
    np.savez(tmp_path / "set.npz", x_train=GOOD, y_train=np.zeros(5))
    forms = [GOOD, {"image": GOOD}, GOOD.tolist(), *tmp_path.iterdir()]
    for samples in forms:
        assert match(samples)["image"].shape == GOOD.shape


def test_several_inputs():
    a, b = np.zeros((2, 3)), np.zeros((2, 2))
    for samples in ([a, b], (a, b), {"b": b, "a": a}, {"a": a, "b": b, "labels": [1]}):
        found = match(samples, TWO)
        assert list(found) == ["a", "b"]
        assert found["a"].shape == (2, 3)


@pytest.mark.parametrize(
    ("samples", "inputs", "message"),
    [
        (GOOD[:0], ONE, "'image' is empty"),
        (GOOD[..., 0], ONE, r"must have shape \(samples, 4, 4, 1\). Received: \(5, 4, 4\)"),
        (np.zeros((5, 4, 3, 1)), ONE, "must have shape"),
        (GOOD * np.nan, ONE, "NaN or infinite"),
        (GOOD + np.inf, ONE, "NaN or infinite"),
        (GOOD.astype("float64") + 1e300, ONE, "too large for float32"),
        ([[1.0], [1.0, 2.0]], ONE, "is not an array"),
        (np.array(["a"]), ONE, "must be numbers"),
        ({"x1": GOOD, "x2": GOOD}, ONE, r"must hold arrays named \['image'\]"),
        ([np.zeros((2, 3))], TWO, "one array for each"),
        (np.zeros((2, 3)), TWO, "dict with an array for each"),
        ([np.zeros((2, 3)), np.zeros((3, 2))], TWO, "as many samples for each"),
    ],
)
def test_unusable_samples(samples, inputs, message):
    with pytest.raises(ValueError, match=f"`calibration`.*{message}"):
        match(samples, inputs)


def test_a_sequence_is_taken_only_in_a_known_order():
    with pytest.raises(ValueError, match="must be a dict"):
        match_inputs([np.zeros((2, 3)), np.zeros((2, 2))], TWO, "x")


def test_unreadable_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_samples(tmp_path / "none.npz")
    for name, content in [("text.npy", b"hello"), ("cut.npz", b"PK\x03\x04zzz"), ("e.npy", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="not a readable"):
            load_samples(tmp_path / name)
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a readable"):
        load_samples(tmp_path / "pickled.npy")
