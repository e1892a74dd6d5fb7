/* Unpacks a file: decode_main MODEL.ekz MODEL.tflite. Says how it went; the exit code is 0 or 1.

   The file is read in pieces of odd sizes, as a socket or a slow flash would give it. */
#define EDGEKIT_UNPACK_IMPLEMENTATION
#include "edgekit_unpack.h"

#include <stdio.h>
#include <stdlib.h>

static size_t from_file(void *user, uint8_t *into, size_t size) {
  size_t got = 0, piece = 1;
  while (got < size) {
    size_t wanted = piece < size - got ? piece : size - got;
    size_t given = fread(into + got, 1, wanted, (FILE *)user);
    got += given;
    if (given < wanted) break;
    piece = piece % 11 + 2;
  }
  return got;
}

/* Reads more and more of the file's begin until it holds the header. */
static ekz_status look(FILE *file, ekz_facts *facts) {
  size_t size, got = 0;
  ekz_status status = EKZ_CUT;
  for (size = 16; status == EKZ_CUT; size *= 2) {
    uint8_t *begin = (uint8_t *)malloc(size);
    if (!begin) break;
    rewind(file);
    got = fread(begin, 1, size, file);
    status = ekz_look(begin, got, facts);
    free(begin);
    if (got < size) break;
  }
  rewind(file);
  return status;
}

static int write_whole(const char *path, const uint8_t *content, size_t size) {
  FILE *file = fopen(path, "wb");
  int written = file && fwrite(content, 1, size, file) == size;
  return file && fclose(file) == 0 && written;
}

int main(int argc, char **argv) {
  FILE *packed = argc == 3 ? fopen(argv[1], "rb") : NULL;
  ekz_facts facts;
  ekz_status status;
  int written = 0;
  if (!packed) {
    fprintf(stderr, "usage: decode_main MODEL.ekz MODEL.tflite\n");
    return 1;
  }
  status = look(packed, &facts);
  if (status == EKZ_OK) {
    uint8_t *out = (uint8_t *)malloc(facts.unpacked_size + 1u);
    void *work = malloc(facts.work_size);
    if (!out || !work) fprintf(stderr, "out of memory\n");
    if (out && work)
      status = ekz_unpack_from(from_file, packed, out, facts.unpacked_size, work, facts.work_size);
    if (out && work && status == EKZ_OK) written = write_whole(argv[2], out, facts.unpacked_size);
    free(out);
    free(work);
  }
  fclose(packed);
  puts(ekz_message(status));
  return written ? 0 : 1;
}
