/* Unpacks damaged files: fuzz_main SEED COUNT MODEL.ekz [MORE.ekz ...]

   Each of COUNT files is one of those given with bits flipped, bytes changed, inserted, left out
   or taken from another file, or cut; about half of them get the header's checksum that they then
   should have. Buffers are of just the size that they claim, or between canaries. Prints how often
   each status came; the exit code is 1 if the decoder wrote outside of its buffers, accepted
   something else than a file given, or refused one of those. */
#define EDGEKIT_UNPACK_IMPLEMENTATION
#include "edgekit_unpack.h"

#include <stdio.h>
#include <stdlib.h>

#define CANARY 0xA5
#define AROUND 32u

typedef struct {
  uint8_t *packed, *unpacked;
  size_t size;
  ekz_facts facts;
} model;

/* Memory at any address, whose bounds are seen to be kept: by the sanitizer where nothing is
   behind it, by canaries in any build. */
typedef struct {
  uint8_t *all, *use;
  size_t before, size, behind;
} buffer;

typedef struct {
  const uint8_t *at;
  size_t left;
  int lies; /* claims to have given more than it was asked for */
} source;

static uint64_t random_state;

/* splitmix64 */
static uint32_t below(size_t limit) {
  uint64_t z = random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)((z >> 33) % limit);
}

static void *need(void *memory) {
  if (!memory) {
    fprintf(stderr, "out of memory\n");
    exit(2);
  }
  return memory;
}

static buffer new_buffer(size_t size) {
  buffer b;
  b.behind = below(2) ? AROUND : 0;
  b.before = b.behind + below(4);
  b.size = size;
  b.all = (uint8_t *)need(malloc(b.before + size + b.behind + (b.before + size ? 0 : 1)));
  b.use = b.all + b.before;
  memset(b.all, CANARY, b.before + size + b.behind);
  return b;
}

static int intact(const uint8_t *bytes, size_t size) {
  while (size--)
    if (*bytes++ != CANARY) return 0;
  return 1;
}

static int free_buffer(buffer *b) {
  int kept = intact(b->all, b->before) && intact(b->use + b->size, b->behind);
  free(b->all);
  return kept;
}

static size_t give(void *user, uint8_t *into, size_t size) {
  source *s = (source *)user;
  size_t given = size < s->left ? size : s->left;
  if (given) memcpy(into, s->at, given);
  s->at += given;
  s->left -= given;
  return s->lies && !below(4) ? size + 1 + below(9) : given;
}

/* Where the header's checksum is, or 0. */
static size_t checksum_place(const uint8_t *packed, size_t size) {
  size_t place = 4, length = 0, shift;
  for (shift = 0; shift < 28 && place < size; shift += 7) {
    length |= (size_t)(packed[place] & 127) << shift;
    if (packed[place++] < 128) return place + length + 2 <= size ? place + length : 0;
  }
  return 0;
}

/* Damages a file in place, which has room for 16 bytes more. */
static size_t damage(uint8_t *packed, size_t size, const model *other) {
  /* Half of all changes are to the header, small as it is. */
  size_t header = checksum_place(packed, size);
  size_t reach = header && below(2) ? header : size;
  size_t at = size ? below(reach) : 0, many = 1 + below(8);
  static const uint8_t odd[] = {0, 1, 6, 7, 18, 19, 127, 128, 129, 192, 254, 255};
  if (!size) return 0;
  if (at < 4 && reach > 4 && below(8)) at = 4 + below(reach - 4); /* past the mark */
  switch (below(9)) {
    case 0:
    case 1:
      packed[at] ^= (uint8_t)(1u << below(8));
      return size;
    case 2:
      packed[at] = (uint8_t)below(256);
      return size;
    case 3:
      packed[at] = odd[below(sizeof odd)];
      return size;
    case 4: /* cut */
      return below(4) ? size - (many < size ? many : size) : at;
    case 5: /* longer, the header with it as long as that is one byte */
      memmove(packed + at + many, packed + at, size - at);
      if (at > 4 && at < header && packed[4] + many < 128 && below(4)) packed[4] += (uint8_t)many;
      for (; many; --many, ++size) packed[at++] = (uint8_t)below(256);
      return size;
    case 6: /* shorter */
      if (many > size - at) many = size - at;
      if (at > 4 && at + many <= header && packed[4] > many && below(4)) packed[4] -= (uint8_t)many;
      memmove(packed + at, packed + at + many, size - at - many);
      return size - many;
    case 7: /* a piece of another file */
      many *= 1 + below(8);
      if (at < other->size && many > other->size - at) many = other->size - at;
      if (at >= other->size || many > size - at) return size;
      memcpy(packed + at, other->packed + at, many);
      return size;
    default: { /* another file's header */
      size_t its = checksum_place(other->packed, other->size) + 2;
      if (!header || its > header + 2) return size;
      memcpy(packed, other->packed, its);
      memmove(packed + its, packed + header + 2, size - header - 2);
      return size - (header + 2 - its);
    }
  }
}

static int is_given(const model *models, size_t count, const uint8_t *packed, size_t size,
                    const uint8_t *out) {
  size_t i;
  for (i = 0; i < count; ++i)
    if (models[i].size == size && !memcmp(models[i].packed, packed, size))
      return !memcmp(models[i].unpacked, out, models[i].facts.unpacked_size);
  return 0;
}

/* Unpacks one file; whether all was as it should be. */
static int run(const uint8_t *packed, size_t size, size_t out_size, size_t work_size, int lies,
               const model *models, size_t count, unsigned long *statuses) {
  buffer in = new_buffer(size), out = new_buffer(out_size), work = new_buffer(work_size);
  ekz_facts facts;
  ekz_status status, looked;
  int good = 1;
  if (size) memcpy(in.use, packed, size);
  looked = ekz_look(in.use, size, &facts);
  if (below(2)) {
    status = ekz_unpack(in.use, size, out.use, out_size, work.use, work_size);
  } else {
    source from;
    from.at = in.use;
    from.left = size;
    from.lies = lies;
    status = ekz_unpack_from(give, &from, out.use, out_size, work.use, work_size);
  }
  ++statuses[status];
  if (status == EKZ_OK) {
    good = is_given(models, count, in.use, size, out.use) && looked == EKZ_OK &&
           intact(out.use + facts.unpacked_size, out_size - facts.unpacked_size);
    if (!good) fprintf(stderr, "accepted what is no file given, or unpacked it otherwise\n");
  }
  if (ekz_message(status) == ekz_message((ekz_status)99)) good = 0;
  good &= free_buffer(&out);
  good &= free_buffer(&work);
  good &= free_buffer(&in);
  if (!good) fprintf(stderr, "FAILED with status %d\n", (int)status);
  return good;
}

static model load(const char *path) {
  FILE *file = fopen(path, "rb");
  model m;
  void *work;
  long size;
  if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) {
    fprintf(stderr, "%s cannot be read\n", path);
    exit(2);
  }
  rewind(file);
  m.packed = (uint8_t *)need(malloc((size_t)size + 1));
  m.size = fread(m.packed, 1, (size_t)size, file);
  fclose(file);
  if (ekz_look(m.packed, m.size, &m.facts) != EKZ_OK) {
    fprintf(stderr, "%s is no whole .ekz file\n", path);
    exit(1);
  }
  m.unpacked = (uint8_t *)need(malloc(m.facts.unpacked_size + 1u));
  work = need(malloc(m.facts.work_size));
  if (ekz_unpack(m.packed, m.size, m.unpacked, m.facts.unpacked_size, work, m.facts.work_size)) {
    fprintf(stderr, "%s is refused\n", path);
    exit(1);
  }
  free(work);
  return m;
}

int main(int argc, char **argv) {
  unsigned long statuses[EKZ_WORK_TOO_SMALL + 1] = {0}, wanted, n = 0;
  size_t count = argc > 3 ? (size_t)argc - 3 : 0, i;
  int good = 1;
  model *models;
  if (!count) {
    fprintf(stderr, "usage: fuzz_main SEED COUNT MODEL.ekz [MORE.ekz ...]\n");
    return 2;
  }
  random_state = strtoul(argv[1], NULL, 10);
  wanted = strtoul(argv[2], NULL, 10);
  models = (model *)need(malloc(count * sizeof *models));
  for (i = 0; i < count; ++i) models[i] = load(argv[i + 3]);
  for (i = 0; i < count; ++i) /* as they are, in both ways */
    for (n = 0; n < 16; ++n) {
      unsigned long seen[EKZ_WORK_TOO_SMALL + 1] = {0};
      const model *m = models + i;
      good &= run(m->packed, m->size, m->facts.unpacked_size + (n & 1), m->facts.work_size, 0,
                  models, count, seen) && seen[EKZ_OK] == 1;
    }
  for (n = 0; n < wanted && good; ++n) {
    const model *m = models + below(count);
    uint8_t *packed = (uint8_t *)need(malloc(m->size + 64));
    size_t size = m->size, out = m->facts.unpacked_size, work = m->facts.work_size, place;
    uint32_t changes = 1 + below(4);
    memcpy(packed, m->packed, size);
    while (changes-- && size < m->size + 32) size = damage(packed, size, models + below(count));
    place = checksum_place(packed, size);
    if (place && below(2)) {
      uint32_t checksum = ~ekzi_crc(0xFFFFFFFFu, packed, place);
      packed[place] = (uint8_t)checksum;
      packed[place + 1] = (uint8_t)(checksum >> 8);
    }
    if (!below(32)) out = below(out + 1);
    else if (!below(4)) out += below(256);
    if (!below(32)) work = below(work + 1);
    else if (!below(4)) work += 4096;
    good = run(packed, size, out, work, !below(64), models, count, statuses);
    if (!good) fprintf(stderr, "the file number %lu of seed %s\n", n, argv[1]);
    free(packed);
  }
  for (i = 0; i <= EKZ_WORK_TOO_SMALL; ++i)
    printf("%10lu  %s\n", statuses[i], ekz_message((ekz_status)i));
  for (i = 0; i < count; ++i) {
    free(models[i].packed);
    free(models[i].unpacked);
  }
  free(models);
  return good ? 0 : 1;
}
