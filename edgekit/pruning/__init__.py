"""Pruning: callbacks that make weights zero and keep them so."""

from edgekit.pruning import criteria, granularities, schedules
from edgekit.pruning.dynamic_sparsity import DynamicSparsity
from edgekit.pruning.gradual_pruning import GradualPruning
from edgekit.pruning.keep_sparsity import KeepSparsity
from edgekit.pruning.lottery_ticket import LotteryTicket

__all__ = [
    "DynamicSparsity",
    "GradualPruning",
    "KeepSparsity",
    "LotteryTicket",
    "criteria",
    "granularities",
    "schedules",
]
