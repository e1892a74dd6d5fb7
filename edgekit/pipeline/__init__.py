"""Pipelines: the techniques, the converter and the benchmark joined into one run."""
