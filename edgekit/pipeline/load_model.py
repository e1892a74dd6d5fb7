"""`ek.load_model` and `ek.migrate`: those of converters, with edgekit's own layers known."""

import edgekit.distillation
import edgekit.quantization  # noqa: F401  their layers may be inside the file
from converters.legacy import load_model, migrate

__all__ = ["load_model", "migrate"]
