import numpy as np

from converters.runner import Tensor
from edgekit.pipeline.rounded_tensors import Rounded, matched, matched_by_grid


def roundings(*paths):
    calls: dict = {}
    found = []
    for i, path in enumerate(paths):
        path = tuple(path.split("/"))
        calls[path] = calls.get(path, -1) + 1
        found.append(Rounded(path, calls[path], np.full((2, 3), float(i))))
    return found


def names_of(paths, names):
    tensors = {name: np.full((2, 3), float(i)) for i, name in enumerate(names)}
    return matched(roundings(*paths), tensors)


def test_names_that_look_like_the_second_call_of_another():
    names = ["m/dense_1/FakeQuant", "m/dense_1_1/FakeQuant"]  # each scope has a number
    assert names_of(["dense", "dense_1"], names) == names
    names = ["m/dense/FakeQuant", "m/dense_1/FakeQuant"]  # none has
    assert names_of(["dense", "dense_1"], names) == names
    names = ["m/dense_1/FakeQuant", "m/dense/FakeQuant"]  # in another order than in Keras
    assert names_of(["dense", "dense_1"], names) == names[::-1]


def test_calls_are_told_apart_by_the_numbers_of_their_scopes():
    names = ["m/enc_3/c_1/FakeQuant", "m/enc_1/c_1/FakeQuant", "m/enc_11/c_1/FakeQuant"]
    assert names_of(["enc/c", "enc/c", "enc/c"], names) == [names[1], names[0], names[2]]


def test_equal_calls_are_one_tensor():
    name = "m/enc_1/c/FakeQuant"
    calls = [Rounded(("enc", "c"), call, np.ones((2, 3))) for call in (0, 1)]
    assert matched(calls, {name: np.ones((2, 3))}) == [name, name]
    # Of calls that compute something else one is it, and the other is in no tensor of a name.
    assert names_of(["enc/c", "enc/c"], [name]) == [name, None]


def test_calls_of_one_rounding_on_several_sizes():
    # As an upsampling rounds before it resizes, and after.
    small, large = np.ones((2, 3)), np.ones((2, 6))
    calls = [Rounded(("up",), 0, small), Rounded(("up",), 1, large)]
    tensors = {"m/up/FakeQuant": small, "m/up_1/FakeQuant": large}
    assert matched(calls, tensors) == list(tensors)
    assert matched(calls, dict([*tensors.items()][:1])) == ["m/up/FakeQuant", None]


def test_a_transposed_tensor_is_no_match():
    values = np.random.default_rng(0).normal(size=(4, 4))
    rounding = Rounded(("c",), 0, values)
    assert matched([rounding], {"m/c/FakeQuant": values.T}) == [None]
    assert matched([rounding], {"m/c/FakeQuant": values[::-1] + 0.3}) == ["m/c/FakeQuant"]


def test_a_name_inside_a_nested_model_is_not_that_of_its_namesake():
    names = ["m/enc_1/c_1/FakeQuant", "m/c_1/FakeQuant"]
    assert names_of(["enc/c", "c"], names) == names
    assert names_of(["enc/c", "c"], names[:1]) == [names[0], None]


def test_a_tensor_whose_rounding_is_unsure_goes_by_its_values():
    tensors = {"m/dense_1/FakeQuant": np.ones((2, 3))}
    assert matched(roundings("dense", "dense_1"), tensors) == [None, "m/dense_1/FakeQuant"]


def test_other_names_and_sizes_are_no_match():
    tensors = {"m/conv/Relu;m/bias": np.ones((2, 3)), "m/conv/FakeQuant": np.ones((2, 4))}
    assert matched(roundings("conv"), tensors) == [None]
    tensors = {"m/conv/Relu;m/conv_1/FakeQuant": np.ones((3, 2))}
    assert matched(roundings("conv"), tensors) == ["m/conv/Relu;m/conv_1/FakeQuant"]


def test_calls_that_the_file_has_as_constants_leave_the_others_theirs():
    values = np.random.default_rng(0).normal(size=(5, 2, 3))
    calls = [Rounded(("loop", "c"), call, values[call]) for call in range(5)]
    names = [f"m/loop_1/c_{2 * call + 1}/FakeQuant" for call in range(5)]
    noise = np.random.default_rng(1).normal(size=(2, 3))
    for missing in ([0], [0, 1], [2], [1, 4]):
        kept = {n: values[i] + 0.1 * noise for i, n in enumerate(names) if i not in missing}
        expected = [None if i in missing else n for i, n in enumerate(names)]
        assert matched(calls, kept) == expected


def test_a_tensor_on_the_same_grid_with_other_values_is_no_match():
    values, others = np.random.default_rng(0).uniform(size=(2, 4, 5)).astype("float32")
    rounding = Rounded(("sigmoid",), 0, values, 1 / 256, prescribed=True)
    tensors = {"m/Reshape": Tensor(others, 1 / 256)}
    assert matched_by_grid([rounding], [None], tensors) == [None]
    tensors["m/moved"] = Tensor(values + np.float32(3 / 256), 1 / 256)
    assert matched_by_grid([rounding], [None], tensors) == ["m/moved"]
