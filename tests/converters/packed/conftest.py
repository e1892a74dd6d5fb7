"""The built decoder, and files for it."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters.packed.container import Kind
from tests.converters.packed.c_decoder import C99, HERE, Decoder, built, needs_to_link
from tests.converters.packed.crafted_files import BY_LZMA, FILES, crafted, few


@pytest.fixture(scope="module")
def folder_of_programs(tmp_path_factory):
    return tmp_path_factory.mktemp("c_decoder")


@pytest.fixture(scope="module")
def source(folder_of_programs):
    """A source file that holds the decoder and nothing else."""
    path = folder_of_programs / "decoder.c"
    path.write_text('#define EDGEKIT_UNPACK_IMPLEMENTATION\n#include "edgekit_unpack.h"\n')
    return path


@pytest.fixture(scope="module")
def decoder(source, folder_of_programs):
    return Decoder(
        built([*C99, "-O2", "-shared", "-fPIC"], source, folder_of_programs / "libdecoder.so")
    )


@pytest.fixture(scope="module")
def program(folder_of_programs):
    return built([*C99, "-O1", "-g"], HERE / "decode_main.c", folder_of_programs / "decode_main")


@pytest.fixture(scope="module")
def sanitized_fuzzer(folder_of_programs):
    command = [*C99, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    needs_to_link(command, folder_of_programs, "gcc's sanitizers")
    return built(command, HERE / "fuzz_main.c", folder_of_programs / "fuzz_main")


@pytest.fixture(scope="module")
def crafts():
    by_lzma = {name: crafted(*p, skeleton_kind=Kind.LZMA) for name, p in BY_LZMA.items()}
    return {name: crafted(*parts) for name, parts in FILES.items()} | by_lzma


@pytest.fixture(scope="module")
def models():
    """Models whose constants are packed in all ways, as `.tflite`."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="conv")(image)
    x = layers.Conv2D(8, 3, name="sparse")(x)
    x = layers.Dense(8, name="dense")(layers.Flatten()(x))
    model = keras.Model(image, x)
    for name, zeros in (("conv", 0.2), ("sparse", 0.95), ("dense", 0.1)):
        kernel = model.get_layer(name).kernel
        kernel.assign(few("float32", kernel.shape, 12, zeros) / 100)
    samples = np.random.default_rng(0).random((8, 8, 8, 3)).astype("float32")
    return ek.convert(model, ["float32", "int8"], calibration=samples)
