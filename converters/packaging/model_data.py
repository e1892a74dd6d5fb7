"""`model_data.h` and `model_data.cc`: the bytes of a model as a C array."""

from converters.packaging.c_text import guarded, wrapped


def model_header(name: str, about: str) -> str:
    """The header that declares the array.

    Args:
        name: Of the model: the array is `g_NAME`.
        about: Where the model comes from, as a comment.
    """
    return guarded(
        name,
        "model_data.h",
        about,
        f"""#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char g_{name}[];
extern const unsigned int g_{name}_len;

#ifdef __cplusplus
}}
#endif
""",
    )


def model_source(name: str, about: str, content: bytes) -> str:
    """The array, for C99 and C++11 alike; kernels need it at 16 bytes.

    Args:
        name: As in `model_header`.
        about: As in `model_header`.
        content: The bytes.
    """
    data = wrapped([f"0x{byte:02x}" for byte in content])
    return f"""{about}
#include "model_data.h"

#if defined(__cplusplus)
#define MODEL_ALIGNED alignas(16)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define MODEL_ALIGNED _Alignas(16)
#else
#define MODEL_ALIGNED __attribute__((aligned(16)))
#endif

MODEL_ALIGNED const unsigned char g_{name}[] = {{
{data}
}};
const unsigned int g_{name}_len = {len(content)};
"""


def fnv1a(content: bytes) -> int:
    """The 32-bit FNV-1a checksum, which a microcontroller computes in a few lines.

    Source: Fowler, Noll, Vo; draft-eastlake-fnv.
    """
    found = 0x811C9DC5
    for byte in content:
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found
