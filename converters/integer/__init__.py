"""Integer flatbuffers from float ones that say where they round.

A quantisation-aware model converts to a float flatbuffer with QUANTIZE → DEQUANTIZE around each
rounded tensor, and weights whose values lie on a grid already. From that, `to_integer` makes the
flatbuffer that computes in integers, with exactly those grids.
"""

from converters.integer.rewrite import to_integer

__all__ = ["to_integer"]
