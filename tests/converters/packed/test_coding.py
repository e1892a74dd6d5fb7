"""Laws of the coders: what is written is read, whatever it is."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from converters.packed.bytes_model import code_bytes, nothing_seen
from converters.packed.candidates import encode_bytes
from converters.packed.codebook import codebook_of, read_codebook
from converters.packed.coded_symbols import read_dense, read_relative, write_dense, write_relative
from converters.packed.coding_progress import telling
from converters.packed.huffman import LONGEST, code_lengths, codes
from converters.packed.mixing import new_mixer
from converters.packed.range_coder import code_bit, finish, reader, writer
from converters.packed.symbols_model import code_symbols

BITS = 8
symbol_arrays = st.integers(2, 40).flatmap(
    lambda count: st.tuples(
        st.just(count), arrays("u1", st.integers(1, 200), elements=st.integers(0, count - 1))
    )
)


def as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).copy()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), min_size=1, max_size=300))
def test_bits_come_back_whatever_their_probabilities(bits):
    payload, state = np.zeros(2000, np.uint8), writer()
    for bit, probability in bits:
        code_bit(bit, probability, state, payload)
    stored = as_array(finish(state, payload))
    state = reader(stored)
    assert [code_bit(0, p, state, stored) for _, p in bits] == [bit for bit, _ in bits]


def test_a_coded_bit_costs_its_information():
    rng = np.random.default_rng(0)
    bits = (rng.random(50_000) < 0.1).astype(int)
    payload, state = np.zeros(100_000, np.uint8), writer()
    for bit in bits:
        code_bit(int(bit), 6554, state, payload)
    share = bits.mean()
    information = -(share * np.log2(0.1) + (1 - share) * np.log2(0.9)) * len(bits) / 8
    assert len(finish(state, payload)) == pytest.approx(information, rel=2e-3)


@settings(max_examples=30)
@given(arrays("u1", st.integers(0, 400)), st.sampled_from([1, 2, 4, 8]))
def test_bytes_come_back(data, stride):
    stored = as_array(encode_bytes(data, stride, new_mixer(BITS)))
    found = np.zeros_like(data)
    code_bytes(new_mixer(BITS), nothing_seen(BITS), reader(stored), stored, found, stride)
    np.testing.assert_array_equal(found, data)


@settings(max_examples=30)
@given(symbol_arrays, st.integers(1, 50), st.sampled_from([0, 2, 7]))
def test_symbols_come_back(case, row, inner):
    count, symbols = case
    payload, state = np.zeros(4000, np.uint8), writer()
    code_symbols(new_mixer(BITS), state, payload, symbols, count, row, inner, count // 2)
    stored = as_array(finish(state, payload))
    found = np.zeros_like(symbols)
    again = reader(stored)
    code_symbols(new_mixer(BITS), again, stored, found, count, row, inner, count // 2)
    np.testing.assert_array_equal(found, symbols)


@given(symbol_arrays)
def test_huffman_codes_come_back(case):
    count, symbols = case
    found = np.zeros_like(symbols)
    assert read_dense(as_array(write_dense(symbols, count)), found, count)
    np.testing.assert_array_equal(found, symbols)


@given(symbol_arrays, st.floats(0, 1))
def test_relative_indices_come_back(case, share):
    count, symbols = case
    symbols = np.where(np.random.default_rng(0).random(len(symbols)) < share, 0, symbols)
    symbols = symbols.astype("u1")
    if not symbols.any():
        symbols[-1] = 1
    found = np.zeros_like(symbols)
    assert read_relative(as_array(write_relative(symbols, count)), found, count)
    np.testing.assert_array_equal(found, symbols)


def test_far_weights_need_fillers():
    symbols = np.zeros(100_000, "u1")
    symbols[[3, 99_999]] = 1
    found = np.zeros_like(symbols)
    assert read_relative(as_array(write_relative(symbols, 2)), found, 2)
    np.testing.assert_array_equal(found, symbols)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=256))
def test_code_lengths_are_a_code_and_within_a_bit_of_the_entropy(counts):
    counts = np.array(counts)
    lengths = code_lengths(counts).astype(int)
    assert ((lengths > 0) == (counts > 0)).all()
    assert lengths.max(initial=0) <= LONGEST
    used = lengths[lengths > 0]
    assert (2.0**-used).sum() <= 1
    words = [format(c, f"0{n}b") for c, n in zip(codes(lengths), lengths, strict=True) if n]
    assert not any(a != b and b.startswith(a) for a in words for b in words)
    if len(used) > 1 and used.max() < LONGEST:
        shares = counts[counts > 0] / counts.sum()
        mean = (shares * used).sum()
        entropy = -(shares * np.log2(shares)).sum()
        assert entropy - 1e-9 <= mean < entropy + 1


@given(
    st.sampled_from(["int8", "uint8", "float16", "float32", "int32", "int64"]),
    st.integers(1, 256),
    st.integers(1, 400),
    st.integers(0, 9),
)
def test_codebooks_come_back(dtype, distinct, size, seed):
    chance = np.random.default_rng(seed)
    width = np.dtype(dtype).itemsize
    pool = np.frombuffer(chance.bytes(distinct * width), dtype)
    elements = chance.choice(pool, size)
    codebook, symbols = codebook_of(elements)
    stored = codebook.tobytes()
    again, used = read_codebook(as_array(stored + b"more"), width)
    assert used == len(stored)
    np.testing.assert_array_equal(again.values[symbols].ravel(), elements.view(np.uint8))
    assert again.negative == codebook.negative


def test_more_values_than_a_codebook_has_room_for():
    assert codebook_of(np.arange(257, dtype="int32")) is None


def test_plain_python_computes_the_same():
    """Without numba other code, made of lists, codes the same bits."""
    rng = np.random.default_rng(0)
    data = np.frombuffer(b"abcabcabcabdabcabc" * 4 + bytes(400), np.uint8).copy()
    symbols = (rng.integers(0, 9, 700) * (rng.random(700) < 0.3)).astype(np.uint8)
    code = (
        "import numpy as np, hashlib\n"
        "from converters.packed.candidates import encode_bytes\n"
        "from converters.packed.mixing import new_mixer\n"
        "from converters.packed.range_coder import finish, octets, writer\n"
        "from converters.packed.symbols_model import code_symbols\n"
        f"data = np.frombuffer({data.tobytes()!r}, np.uint8).copy()\n"
        f"symbols = octets(np.frombuffer({symbols.tobytes()!r}, np.uint8).copy())\n"
        f"mixer = new_mixer({BITS})\n"
        "found = encode_bytes(data, 1, mixer).hex()\n"
        "payload, state = octets(np.zeros(3000, np.uint8)), writer()\n"
        "code_symbols(mixer, state, payload, symbols, 9, 7, 3, 4)\n"
        "found += finish(state, payload).hex()\n"
        "for part in (mixer.probabilities, mixer.counts, mixer.weights):\n"
        "    found += hashlib.md5(np.asarray(part, np.int64)).hexdigest()\n"
    )
    found = []
    for numba in ("", "import sys; sys.modules['numba'] = None\n"):
        which = f"from converters.packed.compiled import FAST; assert FAST is {not numba}\n"
        program = numba + which + code + "print(found)"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        found.append(done.stdout)
    assert found[0] == found[1]
    assert len(found[0]) > 300


def test_coding_is_told_in_pieces():
    told: list[int] = []
    data = np.random.default_rng(0).integers(0, 9, 5000).astype(np.uint8)
    with telling(told.append):
        whole = encode_bytes(data, 1, new_mixer(BITS))
    assert sum(told) == 5000
    assert max(told) <= 2048
    stored, found = as_array(whole), np.zeros(5000, np.uint8)
    code_bytes(new_mixer(BITS), nothing_seen(BITS), reader(stored), stored, found, 1)
    np.testing.assert_array_equal(found, data)
