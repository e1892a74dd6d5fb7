"""Folders that somebody else builds an app or firmware from: model, contract, code."""

from converters.packaging.folder import TARGETS, package

__all__ = ["TARGETS", "package"]
