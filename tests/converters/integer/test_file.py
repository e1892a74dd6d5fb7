import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.integer.file import FlatFile, pack


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=40))
def test_four_bits_first_value_lowest(values):
    packed = pack(np.array(values), 4)
    assert len(packed) == (len(values) + 1) // 2
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).ravel()[: len(values)].astype(int)
    np.testing.assert_array_equal(np.where(nibbles > 7, nibbles - 16, nibbles), values)


def test_two_bits():
    np.testing.assert_array_equal(pack(np.array([1, -1, 0, -2, 1]), 2), [0b10001101, 0b01])


def test_an_untouched_file_computes_the_same(files, data):
    import edgekit as ek
    from converters.flatbuffer import Flatbuffer

    original = files["float32"]
    again = Flatbuffer(FlatFile(original.content).tobytes())
    x = data[0][:8]
    np.testing.assert_array_equal(again.predict(x), original.predict(x))
    assert ek.inspect(again).op_dtypes == ek.inspect(original).op_dtypes
    assert again.size <= original.size * 1.01


def test_constants_are_read_as_values(files):
    file = FlatFile(files["float32"].content)
    found = [file.constant(t) for t in range(len(file.graph.tensors))]
    assert sum(values.size for values in found if values is not None) > 100
    assert file.constant(int(file.graph.inputs[0])) is None
    with pytest.raises(IndexError):
        file.constant(10_000)
