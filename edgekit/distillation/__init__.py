"""Distillation: students that learn from teachers."""

from edgekit.distillation.attention_transfer import AttentionTransfer
from edgekit.distillation.decoupled import Decoupled
from edgekit.distillation.distill import distill
from edgekit.distillation.distiller import Distiller
from edgekit.distillation.ensemble import Ensemble
from edgekit.distillation.hints import Hints
from edgekit.distillation.logit_matching import LogitMatching
from edgekit.distillation.loss import Loss
from edgekit.distillation.relational import Relational
from edgekit.distillation.similarity_preserving import SimilarityPreserving
from edgekit.distillation.soft_targets import SoftTargets

__all__ = [
    "AttentionTransfer",
    "Decoupled",
    "Distiller",
    "Ensemble",
    "Hints",
    "LogitMatching",
    "Loss",
    "Relational",
    "SimilarityPreserving",
    "SoftTargets",
    "distill",
]
