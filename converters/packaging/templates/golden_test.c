/* Checks that the files of this folder belong together. On any computer:

     gcc -std=c99 -Wall -Wextra golden_test.c -x c model_data.cc -lm -o golden_test && ./golden_test

   Prints a line for each check; the exit code is 0 if all passed, else 1. What a device computes
   is checked by firmware: it runs ${name}_kGoldenInput and gives the outputs to
   ${name}_golden_check. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "model_data.h"
#include "model_settings.h"

static int failed = 0;

static void check(const char *what, int passed) {
  printf("%s: %s\n", passed ? "ok" : "FAILED", what);
  if (!passed) failed = 1;
}

static uint32_t fnv1a(const unsigned char *data, unsigned int size) {
  uint32_t hash = 0x811c9dc5u;
  unsigned int i;
  for (i = 0; i < size; ++i) hash = (hash ^ data[i]) * 0x01000193u;
  return hash;
}

int main(void) {
  int i = 0, wrong = 0;
  (void)i;
  (void)wrong;
  check("the model has its size", g_${name}_len == ${name}_GOLDEN_MODEL_SIZE);
  check("the model has its checksum", fnv1a(g_$name, g_${name}_len) == ${name}_GOLDEN_MODEL_FNV1A);
  check("the model lies at a multiple of 16 bytes", (uintptr_t)g_$name % 16 == 0);
$values
  check("golden_check takes the golden output", ${name}_golden_check($golden) == 0);
$corrupt
  return failed;
}
