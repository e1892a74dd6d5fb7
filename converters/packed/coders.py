"""Which ways of packing `pack` may choose from."""

from converters.packed.container import ORDER, Kind

CODERS = {
    "smallest": tuple(kind for kind in ORDER if kind != Kind.SCALED),
    "huffman": (Kind.STORED, Kind.HUFFMAN, Kind.RELATIVE, Kind.LZMA),
}
