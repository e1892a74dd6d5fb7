"""Rewrites for those who cannot retrain: Keras in, plain Keras out, better to quantise."""

from edgekit.posttraining.adaround import adaround
from edgekit.posttraining.correct_bias import correct_bias
from edgekit.posttraining.equalize import equalize
from edgekit.posttraining.fold_batchnorm import fold_batchnorm

__all__ = ["adaround", "correct_bias", "equalize", "fold_batchnorm"]
