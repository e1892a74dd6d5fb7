"""Measuring on the machine at hand, in child processes."""
