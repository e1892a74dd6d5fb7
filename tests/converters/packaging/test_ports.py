import numpy as np
import pytest

from converters.packaging.ports import identifiers, read_ports
from tests.converters.lite_files import signed_graphs


def test_the_order_is_that_of_the_graph(two_inputs):
    from ai_edge_litert.interpreter import Interpreter

    ports = read_ports(two_inputs.content)
    interpreter = Interpreter(model_content=two_inputs.content)
    details = interpreter.get_input_details(), interpreter.get_output_details()
    for group, expected in zip((ports.inputs, ports.outputs), details, strict=True):
        assert [p.tensor for p in group] == [d["name"] for d in expected]
        assert [p.position for p in group] == [0, 1]
    assert [p.name for p in ports.inputs] == ["b", "a"]
    assert {p.name: p.shape for p in ports.outputs} == {"output_0": (1, 5), "output_1": (1, 1)}
    assert ports.signature == "serving_default"


def test_quantised_as_litert_does(files, data):
    (image,) = read_ports(files["int8"].content).inputs
    stored = image.stored(data[0][:4])
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(files["int8"].predict(stored), files["int8"].predict(data[0][:4]))
    np.testing.assert_array_equal(image.stored(image.real(stored)), stored)
    assert image.stored(np.array([1e9, -1e9])).tolist() == [127, -128]
    assert image.layout == "NHWC"


def test_identifiers_are_plain_and_differ():
    assert identifiers(["a:0", "a/0", "2", "é", "in"], frozenset(["in"])) == [
        "a_0", "a_0_", "_2", "tensor", "in_",
    ]  # fmt: skip


def test_damage_is_an_error(files):
    with pytest.raises(ValueError, match="damaged"):
        read_ports(files["int8"].content[:1500])


def test_a_signature_of_another_subgraph_is_refused():
    folder_of_two = signed_graphs("encode", "serving_default")
    with pytest.raises(ValueError, match="signature 'serving_default' runs the file's subgraph 1"):
        read_ports(folder_of_two)
