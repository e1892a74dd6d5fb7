"""Integer flatbuffers from float ones.

A quantisation-aware model converts to a float flatbuffer with QUANTIZE → DEQUANTIZE around each
rounded tensor, and weights whose values lie on a grid already. From that, `to_integer` makes the
flatbuffer that computes in integers, with exactly those grids. For a float flatbuffer without
such pairs, `quantize` does the same with measured ranges, best after `with_integer_kernels`.
"""

from converters.integer.equivalents import with_integer_kernels
from converters.integer.rewrite import quantize, quantize_subgraphs, to_integer

__all__ = ["quantize", "quantize_subgraphs", "to_integer", "with_integer_kernels"]
