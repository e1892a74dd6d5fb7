"""Which ways of packing `pack` may choose from."""

from converters.packed.container import Kind

CODERS = {
    "smallest": (Kind.BYTES, Kind.SYMBOLS, Kind.HUFFMAN, Kind.RELATIVE),
    "huffman": (Kind.STORED, Kind.HUFFMAN, Kind.RELATIVE),
}
