import keras
import numpy as np
import pytest
from keras import layers, ops

from edgekit.core.graph import Cloner, Graph, fill_in


def copy(model):
    clone = Cloner()

    def emit(call, values):
        args, kwargs = fill_in(call, values)
        outputs = keras.tree.flatten(clone(call.operation)(*args, **kwargs))
        values.update({id(o): new for o, new in zip(call.outputs, outputs, strict=True)})

    new = Graph(model).rebuild(emit)
    clone.copy_weights()
    return new


def shared_and_several():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    dense = layers.Dense(3, name="shared")
    x, y = dense(a), dense(b)
    return keras.Model({"a": a, "b": b}, {"sum": x + y, "last": ops.relu(y) * 2.0})


def test_rebuild_gives_the_same_function_and_leaves_the_source_alone():
    model = shared_and_several()
    data = {"a": np.ones((2, 4), "float32"), "b": -np.ones((2, 4), "float32")}
    expected = model.predict(data, verbose=0)
    new = copy(model)
    found = new.predict(data, verbose=0)
    assert set(found) == {"sum", "last"}
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])
    assert [w.shape for w in new.weights] == [(4, 3), (3,)]  # shared stays shared
    assert [layer.name for layer in new.layers] == [layer.name for layer in model.layers]
    new.get_layer("shared").kernel.assign(np.zeros((4, 3)))
    np.testing.assert_array_equal(model.predict(data, verbose=0)["sum"], expected["sum"])
    assert len(model.get_layer("shared")._inbound_nodes) == 2  # no calls added to the source


def test_sole_consumer():
    model = shared_and_several()
    graph = Graph(model)
    outputs = [call.outputs[0] for call in graph.calls if call.operation.name == "shared"]
    assert sorted(graph.sole_consumer(t) is not None for t in outputs) == [False, True]
    assert graph.sole_consumer(model.outputs[0]) is None


def test_what_cannot_be_followed_is_named():
    class Net(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="type Net is subclassed"):
        Graph(Net())
    with pytest.raises(ValueError, match="has no input shape"):
        Graph(keras.Sequential([layers.Dense(2)]))
