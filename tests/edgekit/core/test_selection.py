import keras
import pytest
from keras import layers

from edgekit.core.selection import all_layers, select_layers, value_per_layer


@pytest.fixture
def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a")], name="inner")
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(2, name="b")(inner(inner(x))))


def names(found):
    return [layer.name for layer in found]


def test_all_layers_finds_nested_ones_once(nested):
    assert names(all_layers(nested)).count("a") == 1
    assert "b" in names(all_layers(nested))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (None, ["conv", "pointwise", "classes"]),
        ("^conv$", ["conv"]),
        (["conv", "classes"], ["conv", "classes"]),
        (lambda layer: layer.name.startswith("p"), ["pointwise"]),
    ],
)
def test_selects(cnn, selection, expected):
    candidates = [cnn.get_layer(n) for n in ("conv", "pointwise", "classes")]
    assert names(select_layers(candidates, selection)) == expected


def test_paths_of_nested_layers_count(nested):
    candidates = [layer for layer in all_layers(nested) if layer.weights]
    assert "a" in names(select_layers(candidates, "inner/a"))


@pytest.mark.parametrize("selection", ["nothing", ["conv", "nothing"], lambda layer: False])
def test_no_match_is_an_error_that_lists_the_paths(cnn, selection):
    with pytest.raises(ValueError, match=r"matches no layer.*conv.*classes"):
        select_layers(cnn.layers, selection)


def test_broken_regex_is_named(cnn):
    with pytest.raises(ValueError, match=r"'\[' *, which is not a regular expression|holds '\['"):
        select_layers(cnn.layers, "[")


@pytest.mark.parametrize("selection", [3, [1, 2]])
def test_wrong_kind_is_a_type_error(cnn, selection):
    with pytest.raises(TypeError, match="`layers` must be"):
        select_layers(cnn.layers, selection)


def test_value_per_layer_takes_the_first_match(cnn):
    candidates = [cnn.get_layer(n) for n in ("conv", "pointwise", "classes")]
    values = value_per_layer(candidates, {"conv": 0.5, "o": 0.9}, "sparsity")
    assert {layer.name: v for layer, v in values.items()} == {"conv": 0.5, "pointwise": 0.9}
    assert set(value_per_layer(candidates, 0.3, "sparsity").values()) == {0.3}
    with pytest.raises(ValueError, match="`sparsity` holds 'none'"):
        value_per_layer(candidates, {"none": 0.5}, "sparsity")
