"""Distillation: students that learn from teachers."""

from edgekit.distillation.attention_transfer import AttentionTransfer
from edgekit.distillation.born_again import born_again
from edgekit.distillation.decoupled import Decoupled
from edgekit.distillation.distill import distill
from edgekit.distillation.distiller import Distiller
from edgekit.distillation.ensemble import Ensemble
from edgekit.distillation.hints import Hints
from edgekit.distillation.logit_matching import LogitMatching
from edgekit.distillation.loss import Loss
from edgekit.distillation.mutual_learning import MutualLearning
from edgekit.distillation.narrow import narrow
from edgekit.distillation.relational import Relational
from edgekit.distillation.similarity_preserving import SimilarityPreserving
from edgekit.distillation.snapshot_teacher import SnapshotTeacher
from edgekit.distillation.soft_targets import SoftTargets
from edgekit.distillation.teaching_assistants import teaching_assistants

__all__ = [
    "AttentionTransfer",
    "Decoupled",
    "Distiller",
    "Ensemble",
    "Hints",
    "LogitMatching",
    "Loss",
    "MutualLearning",
    "Relational",
    "SimilarityPreserving",
    "SnapshotTeacher",
    "SoftTargets",
    "born_again",
    "distill",
    "narrow",
    "teaching_assistants",
]
