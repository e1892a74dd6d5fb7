"""edgekit and TensorFlow Model Optimization behind one interface, for versus_tfmot.py.

TFMOT is used through `ek.tfmot`, which closes its traps, and its models go through TensorFlow's own
converter, as its guides say.
"""

import edgekit as ek


class Edgekit:
    """Keras 3 with edgekit."""

    name = "edgekit"

    def __init__(self):
        import keras

        self.keras = keras

    def prune(self, model, sparsity, schedule) -> tuple:
        """`(model, callbacks)`."""
        return model, [ek.GradualPruning(sparsity, schedule)]

    def cluster(self, model, clusters) -> tuple:
        """`(model, callbacks)`."""
        return model, [ek.WeightClustering(clusters)]

    def quantize_aware(self, model) -> tuple:
        """`(model, callbacks)`."""
        return ek.quantize_aware(model), []

    def keep(self, model, recipe) -> tuple:
        """Quantisation-aware, with zeros ("PQAT") or shared values ("CQAT") kept."""
        kept = ek.KeepSparsity() if recipe == "PQAT" else ek.KeepClusters()
        return ek.quantize_aware(model), [kept]

    def strip(self, model):
        """The plain model."""
        return model

    def float_file(self, model) -> bytes:
        """The float32 `.tflite`."""
        return ek.convert(model)["float32"].content

    def int8(self, model, samples) -> bytes:
        """The int8 `.tflite`; of a quantisation-aware model without samples."""
        return ek.convert(model, ["int8"], calibration=samples)["int8"].content


class Tfmot:
    """tf_keras with TFMOT."""

    name = "tfmot"

    def __init__(self):
        import tf_keras

        self.keras = tf_keras

    def prune(self, model, sparsity, schedule) -> tuple:
        """`(model, callbacks)`."""
        return ek.tfmot.prune(model, sparsity, schedule)

    def cluster(self, model, clusters) -> tuple:
        """`(model, callbacks)`."""
        return ek.tfmot.cluster(model, clusters, keep_zeros=False)

    def quantize_aware(self, model) -> tuple:
        """`(model, callbacks)`."""
        return ek.tfmot.quantize_aware(model)

    def keep(self, model, recipe) -> tuple:
        """Quantisation-aware, with zeros ("PQAT") or shared values ("CQAT") kept."""
        return ek.tfmot.preserve(model, recipe)

    def strip(self, model):
        """The plain model."""
        return ek.tfmot.strip(model)

    def float_file(self, model) -> bytes:
        """The float32 `.tflite`."""
        return self._converter(model).convert()

    def int8(self, model, samples) -> bytes:
        """The int8 `.tflite`; of a quantisation-aware model without samples."""
        import tensorflow as tf

        converter = self._converter(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if samples is not None:
            converter.representative_dataset = lambda: ([x[None]] for x in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()

    def _converter(self, model):
        """At batch 1, as edgekit converts."""
        import tensorflow as tf

        spec = tf.TensorSpec((1, *model.inputs[0].shape[1:]), "float32")
        function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
        return tf.lite.TFLiteConverter.from_concrete_functions([function], model)


ENGINES = {engine.name: engine for engine in (Edgekit, Tfmot)}
