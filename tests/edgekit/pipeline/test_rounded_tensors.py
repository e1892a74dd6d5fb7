import numpy as np

from edgekit.pipeline.rounded_tensors import Rounded, matched


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
