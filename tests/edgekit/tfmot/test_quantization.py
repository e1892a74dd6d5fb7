"""TFMOT's quantisation-aware training, and what becomes of it in LiteRT."""

import numpy as np
import pytest

import edgekit as ek
from edgekit import tfmot


def kernels(model) -> dict:
    return {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}


def as_in_litert(model, x):
    """The int8 file, which answers as the model does and has every op in integers.

    A logit has steps of a twentieth here, one of which is a hundredth of a probability.
    """
    file = ek.convert(model, ["int8"])["int8"]
    assert set(ek.inspect(file).op_dtypes) == {"int8"}
    apart = np.abs(file.predict(x) - model.predict(x, verbose=0))
    assert apart.max() < 0.02
    assert np.mean(apart <= 1 / 256) > 0.95
    return file


def test_all_of_it_becomes_integers(old_net, train, images):
    qat, callbacks = tfmot.quantize_aware(old_net)
    train(qat, callbacks)
    as_in_litert(qat, images[0])


def test_what_stays_float_is_told(tk, train, images):
    """TFMOT rounds a Dense kernel before BatchNormalization scales it: no integer op does that."""
    layers = tk.layers
    net = tk.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Flatten(),
            layers.Dense(8, name="hidden"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(3, "softmax"),
        ]
    )
    qat, callbacks = tfmot.quantize_aware(net)
    train(qat, callbacks)
    with pytest.warns(UserWarning, match="int8: these ops stayed float: FULLY_CONNECTED"):
        ek.convert(qat, ["int8"])


def test_weights_come_back_without_the_rounding(old_net, train, images):
    qat, callbacks = tfmot.quantize_aware(old_net)
    before = kernels(tfmot.strip(qat))
    for name, kernel in kernels(old_net).items():
        np.testing.assert_array_equal(before[name], kernel)
    train(qat, callbacks)
    plain = tfmot.strip(qat)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in old_net.layers]
    assert np.abs(kernels(plain)["conv"] - before["conv"]).max() > 0
    agree = plain.predict(images[0], verbose=0).argmax(-1) == qat.predict(
        images[0], verbose=0
    ).argmax(-1)
    assert agree.mean() > 0.9


def test_layers_that_are_left_out_stay_float(old_net, train):
    qat, callbacks = tfmot.quantize_aware(old_net, layers=["conv", "bn", "re_lu"])
    names = {layer.name for layer in qat.layers}
    assert "quant_conv" in names
    assert "pointwise" in names
    train(qat, epochs=1)
    with pytest.warns(UserWarning, match="int8: these ops stayed float"):
        ek.convert(qat, ["int8"])


def test_layers_left_out_come_back_as_they_were_trained(old_net, train, images):
    qat, callbacks = tfmot.quantize_aware(old_net, layers=["conv", "bn", "re_lu"])
    train(qat, callbacks)
    np.testing.assert_array_equal(
        kernels(tfmot.strip(qat))["classes"], qat.get_layer("classes").kernel.numpy()
    )


def test_layers_that_tfmot_replaced_do_not_come_back_untrained(tk, train):
    layers = tk.layers
    net = tk.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.SeparableConv2D(4, 3, name="separable"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, "softmax"),
        ]
    )
    qat, callbacks = tfmot.quantize_aware(net)
    train(qat, callbacks)
    with pytest.raises(ValueError, match="other layers in the place of 'separable'"):
        tfmot.strip(qat)


def test_pqat_keeps_zeros(sparse, train, images):
    qat, callbacks = tfmot.preserve(sparse, "PQAT")
    train(qat, callbacks)
    for name, kernel in kernels(tfmot.strip(qat)).items():
        if name != "depthwise":
            assert np.mean(kernel == 0) >= 0.5, name
    file = as_in_litert(qat, images[0])
    assert ek.inspect(file).sparsity > 0.4


def test_cqat_keeps_shared_values(shared, train, images):
    qat, callbacks = tfmot.preserve(shared, "CQAT")
    train(qat, callbacks)
    found = kernels(tfmot.strip(qat))
    assert max(len(np.unique(found[n])) for n in ("conv", "pointwise", "classes")) <= 8
    as_in_litert(qat, images[0])


def test_pcqat_keeps_both(shared, train, images):
    qat, callbacks = tfmot.preserve(shared, "PCQAT")
    train(qat, callbacks)
    found = kernels(tfmot.strip(qat))
    for name in ("conv", "pointwise", "classes"):
        assert len(np.unique(found[name])) <= 8
        assert np.mean(found[name] == 0) >= 0.5
    as_in_litert(qat, images[0])


def test_there_must_be_something_to_keep(old_net, sparse):
    with pytest.raises(ValueError, match="PQAT keeps zeros, and no .* kernel of 'old'"):
        tfmot.preserve(old_net, "PQAT")
    for recipe in ("CQAT", "PCQAT"):
        with pytest.raises(ValueError, match=f"{recipe} keeps shared values, and no"):
            tfmot.preserve(sparse if recipe == "PCQAT" else old_net, recipe)


def test_a_model_that_has_not_trained_is_not_converted(old_net, train):
    qat, _ = tfmot.quantize_aware(old_net)
    with pytest.raises(ValueError, match="train the quantisation-aware model before converting"):
        ek.convert(qat, "int8")
    train(qat, epochs=1)
    with pytest.raises(ValueError, match=r"to 'int8', or ek\.tfmot\.strip\(model\) to other"):
        ek.convert(qat, "float32")


def test_bad_arguments_say_so(old_net, tk):
    with pytest.raises(ValueError, match="`scheme` must be 'int8'.*Received: 'int4'"):
        tfmot.quantize_aware(old_net, "int4")
    with pytest.raises(ValueError, match="`recipe` must be one of PQAT, CQAT, PCQAT"):
        tfmot.preserve(old_net, "QAT")
    layers = tk.layers
    net = tk.Sequential([layers.Input((8, 4)), layers.Conv1D(3, 2, name="conv1")], name="net")
    with pytest.raises(ValueError, match=r"TFMOT cannot quantise 'net': .*conv1.*`layers`"):
        tfmot.quantize_aware(net)
