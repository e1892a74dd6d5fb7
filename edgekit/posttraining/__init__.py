"""Rewrites for those who cannot retrain: Keras in, plain Keras out, better to quantise."""

from edgekit.posttraining.equalize import equalize
from edgekit.posttraining.fold_batchnorm import fold_batchnorm

__all__ = ["equalize", "fold_batchnorm"]
