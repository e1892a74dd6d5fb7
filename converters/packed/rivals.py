"""What general compressors make of the same bytes."""

import gzip
import lzma


def rival_sizes(content: bytes) -> dict[str, int]:
    """Bytes by `gzip -9`, `xz -9e` and, where it is installed (extra `pack`), `zstd -19`."""
    found = {
        "gzip -9": len(gzip.compress(content, compresslevel=9, mtime=0)),
        "xz -9e": len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)),
    }
    try:
        import zstandard
    except ImportError:
        return found
    found["zstd -19"] = len(zstandard.ZstdCompressor(level=19).compress(content))
    return found
