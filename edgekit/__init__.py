"""edgekit: compress Keras models, convert them to LiteRT, and measure what that cost.

Names load when first used, so importing edgekit is cheap and loads no converter, no
interpreter and no TensorFlow.

Example:
    >>> import edgekit as ek
    >>> model.fit(x, y, epochs=5, callbacks=[ek.GradualPruning(0.8)])
    >>> qat = ek.quantize_aware(model, "int8")
    >>> qat.compile("adam", "sparse_categorical_crossentropy")
    >>> qat.fit(x, y, callbacks=[ek.KeepSparsity()])
    >>> ek.convert(qat, ["int8"])["int8"].save("model.tflite")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters import (
        convert,
        inspect,
        mixed_precision,
        pack,
        package,
        sensitivity,
        unpack,
    )
    from device_bench import benchmark, estimate, profile
    from edgekit import distillation, tfmot
    from edgekit.clustering import KeepClusters, WeightClustering, share
    from edgekit.core.custom_loop import custom_loop
    from edgekit.core.model_summary import summary
    from edgekit.distillation import distill, narrow
    from edgekit.pipeline.deep_compression import deep_compress
    from edgekit.pipeline.load_model import load_model, migrate
    from edgekit.pipeline.verify import verify
    from edgekit.posttraining import adaround, correct_bias, equalize, fold_batchnorm
    from edgekit.pruning import (
        DynamicSparsity,
        GradualPruning,
        KeepSparsity,
        LotteryTicket,
        criteria,
        granularities,
        schedules,
    )
    from edgekit.quantization import (
        DelayQuantization,
        FreezeBatchNorm,
        FreezeRanges,
        QuantScheme,
        quantize_aware,
        strip,
    )

_HOMES = {
    "KeepClusters": "edgekit.clustering",
    "WeightClustering": "edgekit.clustering",
    "share": "edgekit.clustering",
    "DynamicSparsity": "edgekit.pruning",
    "GradualPruning": "edgekit.pruning",
    "KeepSparsity": "edgekit.pruning",
    "LotteryTicket": "edgekit.pruning",
    "criteria": "edgekit.pruning",
    "granularities": "edgekit.pruning",
    "schedules": "edgekit.pruning",
    "custom_loop": "edgekit.core.custom_loop",
    "distill": "edgekit.distillation",
    "narrow": "edgekit.distillation",
    "DelayQuantization": "edgekit.quantization",
    "FreezeBatchNorm": "edgekit.quantization",
    "FreezeRanges": "edgekit.quantization",
    "QuantScheme": "edgekit.quantization",
    "quantize_aware": "edgekit.quantization",
    "strip": "edgekit.quantization",
    "adaround": "edgekit.posttraining",
    "correct_bias": "edgekit.posttraining",
    "equalize": "edgekit.posttraining",
    "fold_batchnorm": "edgekit.posttraining",
    "deep_compress": "edgekit.pipeline.deep_compression",
    "load_model": "edgekit.pipeline.load_model",
    "migrate": "edgekit.pipeline.load_model",
    "verify": "edgekit.pipeline.verify",
    "convert": "converters",
    "inspect": "converters",
    "mixed_precision": "converters",
    "pack": "converters",
    "package": "converters",
    "sensitivity": "converters",
    "unpack": "converters",
    "benchmark": "device_bench",
    "estimate": "device_bench",
    "profile": "device_bench",
    "summary": "edgekit.core.model_summary",
}
# Whose names are written with it: ek.distillation.SoftTargets.
_FOLDERS = ("distillation", "tfmot")

__all__ = [
    "DelayQuantization",
    "DynamicSparsity",
    "FreezeBatchNorm",
    "FreezeRanges",
    "GradualPruning",
    "KeepClusters",
    "KeepSparsity",
    "LotteryTicket",
    "QuantScheme",
    "WeightClustering",
    "adaround",
    "benchmark",
    "convert",
    "correct_bias",
    "criteria",
    "custom_loop",
    "deep_compress",
    "distill",
    "distillation",
    "equalize",
    "estimate",
    "fold_batchnorm",
    "granularities",
    "inspect",
    "load_model",
    "migrate",
    "mixed_precision",
    "narrow",
    "pack",
    "package",
    "profile",
    "quantize_aware",
    "schedules",
    "sensitivity",
    "share",
    "strip",
    "summary",
    "tfmot",
    "unpack",
    "verify",
]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _FOLDERS:
        return import_module(f"edgekit.{name}")
    raise AttributeError(f"module 'edgekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_FOLDERS])
