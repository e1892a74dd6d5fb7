"""Two packaged models in one program, by every standard that firmware is built with."""

import subprocess

import pytest

from converters import package
from tests.converters.packaging.handmade import dense_chain

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
COMPILERS = {
    "c99": ["gcc", "-std=c99"],
    "c11": ["gcc", "-std=c11"],
    "c++11": ["g++", "-std=c++11"],
    "c++17": ["g++", "-std=c++17"],
}

# The arena's size is an array's size; NaN and what is out of range have values of their own.
PROGRAM = """
#include <stdio.h>
#include "first/golden.h"
#include "first/model_data.h"
#include "first/model_settings.h"
#include "First/golden.h"
#include "First/model_data.h"
#include "First/model_settings.h"

static uint8_t arena[first_kTensorArenaSize], other_arena[First_kTensorArenaSize];

int main(void) {
  const float nothing = 0.0f, infinite = 1.0f / nothing;
  printf("%d %d %u %u\\n", (int)sizeof arena, (int)sizeof other_arena, g_first_len, g_First_len);
  printf("%d %d %d\\n", first_QuantizeInput(nothing / nothing), first_QuantizeInput(infinite),
         first_QuantizeInput(-infinite));
  printf("%s %s\\n", first_kLabels[1], First_kLabels[2]);
  return first_golden_check(first_kGoldenOutput) + First_golden_check(First_kGoldenOutput);
}
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    first, second = dense_chain([3, 2]), dense_chain([5, 4, 3])
    package(first, "mcu", folder / "first", name="first", labels=["a", 'quote " and ??/ é'])
    package(second, "mcu", folder / "First", name="First", labels=["x", "y", "z\\"])
    (folder / "main.c").write_text(PROGRAM)
    return folder, first, second


@pytest.mark.parametrize("standard", COMPILERS)
def test_they_compile_and_run_together(both, standard):
    folder, first, second = both
    compiler = [*COMPILERS[standard], *STRICT]
    language = "c++" if "++" in standard else "c"
    objects = []
    for number, source in enumerate(("main.c", "first/model_data.cc", "First/model_data.cc")):
        objects.append(f"{number}.o")
        parts = ["-x", language, "-c", source, "-o", objects[-1]]
        subprocess.run([*compiler, *parts], cwd=folder, check=True)
    subprocess.run([COMPILERS[standard][0], *objects, "-lm", "-o", "main"], cwd=folder, check=True)
    done = subprocess.run([folder / "main"], capture_output=True, text=True)
    sizes, quantized, labels = done.stdout.splitlines()
    assert done.returncode == 0
    assert sizes.split()[2:] == [str(first.size), str(second.size)]
    # The input's zero point is 3: what is no number is stored as 0.0.
    assert quantized == "3 127 -128"
    assert labels == 'quote " and ??/ é z\\'


def test_names_that_come_to_one_identifier_are_an_error_of_the_compiler(tmp_path):
    """And not a header that is passed over for the other model's."""
    for number, stem in enumerate(("日本", "中国")):
        dense_chain([3, 2 + number]).save(tmp_path / f"{stem}.tflite")
        package(tmp_path / f"{stem}.tflite", "mcu", tmp_path / str(number))
    includes = [f'#include "{number}/model_settings.h"' for number in range(2)]
    (tmp_path / "main.c").write_text("\n".join(includes))
    done = subprocess.run(
        ["gcc", "-c", "main.c"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "redeclaration" in done.stderr or "redefinition" in done.stderr
