import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from converters.packaging.op_resolver import MICRO_ONLY, add_method, op_resolver
from converters.targets import TARGETS


@pytest.mark.parametrize(
    ("op", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("ADD_N", "AddAddN"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("PADV2", "AddPadV2"),
        ("SPLIT_V", "AddSplitV"),
        ("RELU6", "AddRelu6"),
        ("GATHER_ND", "AddGatherNd"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("LOG_SOFTMAX", "AddLogSoftmax"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
        ("TFLite_Detection_PostProcess", "AddDetectionPostprocess"),
        ("ethos-u", "AddEthosU"),
    ],
)
def test_methods_as_the_resolver_spells_them(op, method):
    assert add_method(op) == method


def test_every_kernel_of_tflite_micro_has_a_method():
    library = find_spec("tflite_micro").submodule_search_locations[0]
    content = (Path(library) / "python/tflite_micro/_runtime.so").read_bytes()
    kernels = set(re.findall(rb"Register_([A-Z][A-Z0-9_]*[A-Z0-9])Ev", content))
    # Kernels within another, for one dtype of it, and those of signal ops under their own names.
    parts = re.compile(rb".*_(FLOAT|INT16|INT32|REF)$|L2NORM_REF|BASIC_CLASSIFIER")
    methods = {add_method(op).lower() for op in (*TARGETS["tflite-micro"].ops, *MICRO_ONLY)}
    methods.add(add_method("TFLite_Detection_PostProcess").lower())
    assert len(kernels) > 100
    for kernel in kernels:
        name = "add" + kernel.decode().replace("_", "").lower()
        assert name in methods or parts.match(kernel), kernel


def test_an_unknown_op_is_named():
    with pytest.raises(ValueError, match="TensorFlow Lite Micro has no op CONV_3D"):
        op_resolver("net", ["ADD", "CONV_3D"])


def test_each_op_once():
    text = op_resolver("net", ["ADD", "CONV_2D", "ADD"])
    assert "MicroMutableOpResolver<2>" in text
    assert text.count("resolver.Add") == 2
