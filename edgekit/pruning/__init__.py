"""Pruning: callbacks that make weights zero and keep them so."""

from edgekit.pruning import schedules
from edgekit.pruning.gradual_pruning import GradualPruning
from edgekit.pruning.keep_sparsity import KeepSparsity

__all__ = ["GradualPruning", "KeepSparsity", "schedules"]
