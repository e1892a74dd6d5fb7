import dataclasses

import pytest

import edgekit as ek
from edgekit.quantization.scheme import SCHEMES, as_scheme, scheme_per_pattern


def test_presets_are_what_their_names_say():
    assert as_scheme("int8") == ek.QuantScheme()
    assert (SCHEMES["int4"].weight_bits, SCHEMES["int4"].activation_bits) == (4, 8)
    assert (SCHEMES["int16x8"].weight_bits, SCHEMES["int16x8"].activation_bits) == (8, 16)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ek.QuantScheme().weight_bits = 4


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"weight_bits": 3}, "`weight_bits` must be one of 8, 4, 2, 'ternary', 'binary'"),
        ({"weight_bits": True}, "Received: weight_bits=True"),
        ({"weight_bits": 8.0}, "Received: weight_bits=8.0"),
        ({"activation_bits": 4}, "`activation_bits` must be one of 8, 16"),
        ({"per_channel": 1}, "`per_channel` must be one of True, False"),
        ({"symmetric": None}, "`symmetric`"),
        ({"estimator": "mean"}, "`estimator` must be one of 'recent'"),
        ({"percentile": 0.99}, "above 50 and at most 100"),
        ({"percentile": "99"}, "Received: percentile='99'"),
        ({"weight_bits": "binary", "estimator": "lsq"}, "computes its scale from the weights"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        ek.QuantScheme(**arguments)


def test_per_pattern():
    assert scheme_per_pattern("int8") == {"": SCHEMES["int8"]}
    assert scheme_per_pattern({"a": "int4"}) == {"a": SCHEMES["int4"]}
    with pytest.raises(ValueError, match="`scheme` must be one of int8, int4"):
        as_scheme(8)
