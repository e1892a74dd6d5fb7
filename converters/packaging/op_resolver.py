"""`op_resolver.h`: the ops a model uses, and no other, for TensorFlow Lite Micro to link."""

from collections.abc import Iterable

from converters.micro_custom_ops import CUSTOM
from converters.targets import TARGETS

# Names that are not those of the schema with other capitals.
_SPELLED = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
# Those of them that LiteRT lacks.
MICRO_ONLY = frozenset(CUSTOM) - {"TFLite_Detection_PostProcess"}


def add_method(op: str) -> str:
    """Name of the method of `MicroMutableOpResolver` that adds an op.

    Args:
        op: As the schema spells it, or a custom op's own name.

    Raises:
        ValueError: TensorFlow Lite Micro has no such op.

    Source: micro_mutable_op_resolver.h of tensorflow/tflite-micro.
    """
    if op in CUSTOM:
        return f"Add{CUSTOM[op]}"
    if op not in TARGETS["tflite-micro"].ops:
        raise ValueError(
            f"TensorFlow Lite Micro has no op {op}: build the model without it, or run it with "
            "LiteRT (target 'android')"
        )
    if op in _SPELLED:
        return f"Add{_SPELLED[op]}"
    return "Add" + "".join(_capital(word) for word in op.split("_"))


def op_resolver(name: str, ops: Iterable[str]) -> str:
    """The header's text below its guard.

    Args:
        name: Namespace of the model.
        ops: Names of the ops it uses.

    Raises:
        ValueError: TensorFlow Lite Micro has no such op.
    """
    methods = sorted({add_method(op) for op in ops})
    adds = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{method}());" for method in methods)
    return f"""#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace {name} {{

using OpResolver = tflite::MicroMutableOpResolver<{max(1, len(methods))}>;

inline TfLiteStatus RegisterOps(OpResolver& resolver) {{
{adds}
  return kTfLiteOk;
}}

}}  // namespace {name}
"""


def _capital(word: str) -> str:
    return word if word in ("2D", "3D") else word.capitalize()
