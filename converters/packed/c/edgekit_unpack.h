/* edgekit_unpack.h - unpacks an .ekz file, which is a .tflite packed by edgekit, byte for byte.

   SPDX-License-Identifier: Apache-2.0

   C99 or C++11 with 8-bit bytes, for any byte order; no allocation, no state between calls, no
   recursion. About 7 kB of code and less than 1 kB of stack on a Cortex-M4.
   In exactly one source file:

       #define EDGEKIT_UNPACK_IMPLEMENTATION
       #include "edgekit_unpack.h"

   From flash into memory:

       static uint8_t model[60000], work[65536];  a file packed with memory=65536
       ekz_status status = ekz_unpack(packed, packed_size, model, sizeof model, work, sizeof work);
       if (status != EKZ_OK) puts(ekz_message(status));

   From a file or a socket: `ekz_unpack_from`. Ask `ekz_look` how large the buffers must be.

   Whatever the packed bytes are, nothing outside of the buffers is read or written, and the work
   is bounded by the sizes in the header, which must fit the buffers, and by that of the file: a
   header that asks for much more than a file of its size holds is refused. A damaged one too:
   two checksums guard it. They are no signature; who can write a file can write its checksums.
   Do not build with -ffast-math: scales are multiplied, and must come out to the bit. */
#ifndef EDGEKIT_UNPACK_H
#define EDGEKIT_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ekz_status {
  EKZ_OK = 0,
  EKZ_NOT_EKZ,         /* the mark at the begin is missing */
  EKZ_NEWER,           /* a version to come */
  EKZ_CUT,             /* bytes are missing at the end */
  EKZ_MORE,            /* something follows the end */
  EKZ_HEADER_CHECKSUM, /* the header was changed */
  EKZ_BAD_HEADER,      /* a number in the header makes no sense */
  EKZ_BAD_SEGMENT,     /* the header describes numbers that cannot be */
  EKZ_BAD_CODEBOOK,    /* values that contradict themselves or their number */
  EKZ_BAD_SYMBOL,      /* a value beyond its codebook */
  EKZ_BAD_CODES,       /* Huffman codes that no packer writes */
  EKZ_BAD_STORED,      /* stored bytes of another number than they should be */
  EKZ_CHECKSUM,        /* all could be unpacked, but is not what was packed */
  EKZ_OUT_TOO_SMALL,   /* the unpacked file does not fit */
  EKZ_WORK_TOO_SMALL   /* the workspace does not suffice */
} ekz_status;

/* What is known of a file before it is unpacked. */
typedef struct ekz_facts {
  uint32_t version;
  uint32_t unpacked_size; /* bytes of the .tflite */
  uint32_t packed_size;   /* bytes of the whole .ekz file */
  uint32_t work_size;     /* bytes of workspace it takes to unpack */
  uint32_t segments;      /* tensors that are packed by themselves */
} ekz_facts;

/* Gives the next bytes of a packed file; the decoder reads it once, from front to back.

       static size_t from_file(void *user, uint8_t *into, size_t size) {
         return fread(into, 1, size, (FILE *)user);
       }

   user: as given to `ekz_unpack_from`.
   into: where the bytes go.
   size: how many are wanted.
   Returns how many were given: `size`, or fewer at the end of the data or upon an error, and is
   not called again then. Up to 128 bytes are wanted beyond the file's end: nothing may be there. */
typedef size_t (*ekz_read)(void *user, uint8_t *into, size_t size);

/* What is needed to unpack a file, from its first bytes.

       ekz_facts facts;
       if (ekz_look(packed, size, &facts) == EKZ_OK) out = malloc(facts.unpacked_size);

   packed, size: the file or its begin, with the whole header: about 10 bytes per tensor. EKZ_CUT
     says that it takes more bytes.
   facts: set when EKZ_OK is returned; the version also with EKZ_NEWER.
   Returns EKZ_OK, EKZ_NOT_EKZ, EKZ_NEWER, EKZ_CUT, EKZ_HEADER_CHECKSUM, EKZ_BAD_HEADER or
   EKZ_BAD_SEGMENT. What follows the header is not looked at. */
ekz_status ekz_look(const uint8_t *packed, size_t size, ekz_facts *facts);

/* Unpack a file that lies in memory.

       status = ekz_unpack(packed, packed_size, out, out_size, work, work_size);

   packed, packed_size: the whole file and nothing else.
   out, out_size: where the .tflite goes, and how much fits there. What is behind the unpacked
     file stays as it was. An interpreter may want `out` aligned; the decoder does not.
   work, work_size: memory used meanwhile, at any address; see `ekz_look`.
   The three must not overlap.
   Returns EKZ_OK, or why not; `out` then holds nothing of use. */
ekz_status ekz_unpack(const uint8_t *packed, size_t packed_size, uint8_t *out, size_t out_size,
                      void *work, size_t work_size);

/* Unpack a file that comes in pieces; otherwise as `ekz_unpack`.

       FILE *file = fopen("model.ekz", "rb");
       status = ekz_unpack_from(from_file, file, out, out_size, work, work_size);

   read, user: what gives the bytes, and what it is called with. */
ekz_status ekz_unpack_from(ekz_read read, void *user, uint8_t *out, size_t out_size, void *work,
                           size_t work_size);

/* Bytes of workspace; constant, for what is laid out by the compiler.

       static uint8_t work[EKZ_WORK_SIZE(10, 100)];  files packed with memory=65536, 100 tensors

   bits: each context has two to the power of this slots, 6 to 16.
   segments: tensors that are packed by themselves, up to 4096. */
#define EKZ_WORK_SIZE(bits, segments) ((34u << (bits)) + 24u * (segments) + 14852u)

/* The same of numbers that come from elsewhere; 0 for those that no file has. */
uint32_t ekz_work_size(uint32_t bits, uint32_t segments);

/* A sentence for people.

       puts(ekz_message(status));
*/
const char *ekz_message(ekz_status status);

#ifdef __cplusplus
}
#endif
#endif /* EDGEKIT_UNPACK_H */

#if defined(EDGEKIT_UNPACK_IMPLEMENTATION) && !defined(EDGEKIT_UNPACK_IMPLEMENTED)
#define EDGEKIT_UNPACK_IMPLEMENTED
#include <string.h>

#define EKZI_OLDEST 1u
#define EKZI_NEWEST 2u
#define EKZI_MOST_BYTES 0x7FFFFFFFu
#define EKZI_MOST_SEGMENTS 4096u
#define EKZI_SMALLEST_BITS 6u
#define EKZI_LARGEST_BITS 16u
/* What a file may claim: so many predicted numbers and unpacked bytes, and so many for each of
   its bytes. */
#define EKZI_FREE_PREDICTED (1u << 16)
#define EKZI_MOST_PREDICTED 1024u
#define EKZI_FREE_BYTES (1u << 24)
#define EKZI_MOST_TIMES 4096u
#define EKZI_INPUTS 10u
#define EKZI_WEIGHT_SETS 96u
#define EKZI_PATIENCE 255u /* bits seen until a slot moves at its slowest */
#define EKZI_PIECE 128u    /* bytes read at once */

enum {
  EKZI_STORED,
  EKZI_BYTES,
  EKZI_SYMBOLS,
  EKZI_HUFFMAN,
  EKZI_RELATIVE,
  EKZI_SCALED,
  EKZI_LZMA,
  EKZI_KINDS
};

typedef struct ekzi_segment {
  uint32_t start, count;  /* where its numbers are in the unpacked file, and how many */
  uint32_t size;          /* bytes as packed */
  uint32_t row, inner;    /* SYMBOLS: numbers of a row, and between two that are alike;
                             SCALED: where the source is, and the bits of the factor */
  uint8_t kind, width, fresh;
} ekzi_segment;

/* Fails to compile where a segment is larger than `ekz_work_size` says, or int is too small. */
typedef char ekzi_check[sizeof(ekzi_segment) <= 24 && sizeof(int) >= 4 ? 1 : -1];

typedef struct ekzi_state {
  ekz_read read;
  void *user;
  size_t at, held; /* in `piece` */
  uint32_t crc, left; /* bytes of the header or payload that are still to come */
  uint32_t bits, skeleton, skeleton_kind, last_kind, range, code;
  uint32_t octet, unread; /* the byte that Huffman codes are read from, and its bits to come */
  uint32_t contexts[EKZI_INPUTS], slots[EKZI_INPUTS];
  ekzi_segment *segments; /* from here on in the workspace */
  int32_t *weights;
  uint32_t *seen;
  uint16_t *probabilities, *rates;
  int16_t *stretched;
  uint8_t *counts, *trust, *values;
  uint8_t ended, cut, odd; /* no more to read; read beyond that; a number that cannot be */
  uint8_t piece[EKZI_PIECE];
} ekzi_state;

/* ---- Reading ---------------------------------------------------------------------------- */

static uint32_t ekzi_crc(uint32_t crc, const uint8_t *bytes, size_t size) {
  static const uint32_t table[16] = {
      0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
      0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
      0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
  while (size--) {
    crc ^= *bytes++;
    crc = table[crc & 15] ^ (crc >> 4);
    crc = table[crc & 15] ^ (crc >> 4);
  }
  return crc;
}

static void ekzi_start(ekzi_state *s, ekz_read read, void *user) {
  memset(s, 0, sizeof *s);
  s->read = read;
  s->user = user;
  s->crc = 0xFFFFFFFFu;
}

static int ekzi_more(ekzi_state *s) {
  if (s->at == s->held && !s->ended) {
    s->at = 0;
    s->held = s->read(s->user, s->piece, EKZI_PIECE);
    if (s->held > EKZI_PIECE) s->held = 0;
    s->ended = s->held < EKZI_PIECE;
  }
  return s->at < s->held;
}

static uint8_t ekzi_byte(ekzi_state *s) {
  if (!ekzi_more(s)) {
    s->cut = 1;
    return 0;
  }
  s->crc = ekzi_crc(s->crc, s->piece + s->at, 1);
  return s->piece[s->at++];
}

/* The next byte of the header or payload; behind its end are zeros, which packers leave out. */
static uint8_t ekzi_next(ekzi_state *s) {
  if (!s->left) return 0;
  --s->left;
  return ekzi_byte(s);
}

static uint32_t ekzi_word(ekzi_state *s) {
  uint32_t word = 0, shift;
  for (shift = 0; shift < 32; shift += 8) word |= (uint32_t)ekzi_next(s) << shift;
  return word;
}

static void ekzi_skip(ekzi_state *s) {
  while (s->left && !s->cut) ekzi_next(s);
}

static uint32_t ekzi_number(ekzi_state *s, uint32_t most) {
  uint64_t number = 0;
  uint32_t shift, byte = 128;
  for (shift = 0; shift < 42 && byte > 127 && s->left; shift += 7) {
    byte = ekzi_next(s);
    number |= (uint64_t)(byte & 127) << shift;
  }
  if (byte < 128 && number <= most) return (uint32_t)number;
  s->odd = 1;
  return 0;
}

/* ---- The header ------------------------------------------------------------------------- */

uint32_t ekz_work_size(uint32_t bits, uint32_t segments) {
  if (bits < EKZI_SMALLEST_BITS || bits > EKZI_LARGEST_BITS || segments > EKZI_MOST_SEGMENTS)
    return 0;
  return EKZ_WORK_SIZE(bits, segments);
}

/* From wide to narrow, so that all are aligned: EKZ_WORK_SIZE, of which 4 bytes are to align. */
static void ekzi_lay_out(ekzi_state *s, void *work, uint32_t segments) {
  uint8_t *at = (uint8_t *)work;
  size_t slots = (size_t)EKZI_INPUTS << s->bits;
  at += (4 - ((uintptr_t)at & 3)) & 3;
  s->segments = (ekzi_segment *)(void *)at;
  s->weights = (int32_t *)(void *)(at += (size_t)24 * segments);
  s->seen = (uint32_t *)(void *)(at += 4 * EKZI_WEIGHT_SETS * EKZI_INPUTS);
  s->probabilities = (uint16_t *)(void *)(at += (size_t)4 << s->bits);
  s->stretched = (int16_t *)(void *)(at += 2 * slots);
  s->rates = (uint16_t *)(void *)(at += 2 * 4096);
  s->trust = at += 2 * 256;
  s->values = at += 256;
  s->counts = at + 8 * 256;
}

static ekz_status ekzi_read_segment(ekzi_state *s, uint32_t end, uint32_t whole,
                                    ekzi_segment *into) {
  uint32_t word, size;
  memset(into, 0, sizeof *into);
  into->start = ekzi_number(s, EKZI_MOST_BYTES);
  word = ekzi_next(s);
  if ((word & 7) > s->last_kind || word >> 4 > 3) return EKZ_BAD_SEGMENT;
  into->kind = (uint8_t)(word & 7);
  into->fresh = (word & 8) != 0;
  if (into->fresh && into->kind != EKZI_BYTES && into->kind != EKZI_SYMBOLS) return EKZ_BAD_SEGMENT;
  into->width = (uint8_t)(1u << (word >> 4));
  into->count = ekzi_number(s, EKZI_MOST_BYTES);
  if (into->kind == EKZI_SYMBOLS) {
    into->row = ekzi_number(s, EKZI_MOST_BYTES);
    into->inner = ekzi_number(s, EKZI_MOST_BYTES);
    if (!into->row || into->inner == 1) return EKZ_BAD_SEGMENT;
  }
  if (into->kind == EKZI_SCALED) {
    into->row = ekzi_number(s, EKZI_MOST_BYTES);
    if (s->left < 4) s->odd = 1;
    into->inner = ekzi_word(s);
  } else {
    into->size = ekzi_number(s, EKZI_MOST_BYTES);
  }
  if (s->odd) return EKZ_BAD_HEADER;
  if (!into->count || into->count > whole / into->width) return EKZ_BAD_SEGMENT;
  size = into->count * into->width;
  if (into->start > whole - end || size > whole - end - into->start) return EKZ_BAD_SEGMENT;
  into->start += end;
  if (into->kind == EKZI_SCALED && (into->width != 4 || into->row > whole - size))
    return EKZ_BAD_SEGMENT;
  return EKZ_OK;
}

static ekz_status ekzi_read_fields(ekzi_state *s, void *work, size_t work_size, ekz_facts *facts) {
  uint32_t i, end = 0, outside;
  uint64_t predicted = 0;
  facts->unpacked_size = outside = ekzi_number(s, EKZI_MOST_BYTES);
  s->bits = ekzi_number(s, EKZI_LARGEST_BITS);
  s->skeleton = ekzi_number(s, EKZI_MOST_BYTES);
  s->last_kind = facts->version > 1 ? EKZI_LZMA : EKZI_SCALED;
  s->skeleton_kind = facts->version > 1 ? ekzi_number(s, EKZI_LZMA) : (uint32_t)EKZI_BYTES;
  facts->segments = ekzi_number(s, EKZI_MOST_SEGMENTS);
  if (s->odd || s->bits < EKZI_SMALLEST_BITS) return EKZ_BAD_HEADER;
  if (s->skeleton_kind != EKZI_BYTES && s->skeleton_kind != EKZI_LZMA) return EKZ_BAD_HEADER;
  facts->packed_size += s->skeleton;
  facts->work_size = ekz_work_size(s->bits, facts->segments);
  if (work && work_size >= facts->work_size) ekzi_lay_out(s, work, facts->segments);
  for (i = 0; i < facts->segments; ++i) {
    ekzi_segment segment;
    ekz_status status = ekzi_read_segment(s, end, facts->unpacked_size, &segment);
    if (status != EKZ_OK) return status;
    end = segment.start + segment.count * segment.width;
    outside -= segment.count * segment.width;
    if (segment.kind == EKZI_BYTES) predicted += segment.count * segment.width;
    if (segment.kind == EKZI_SYMBOLS) predicted += segment.count;
    if (segment.kind == EKZI_HUFFMAN && segment.count / 8 > segment.size) return EKZ_BAD_HEADER;
    /* Each addend is below 2^31, so that the sum shows it before it wraps around. */
    if (facts->packed_size > EKZI_MOST_BYTES) break;
    facts->packed_size += segment.size;
    if (s->segments) s->segments[i] = segment;
  }
  if (s->left || facts->packed_size > EKZI_MOST_BYTES) return EKZ_BAD_HEADER;
  if (s->skeleton_kind == EKZI_BYTES) predicted += outside;
  if (predicted > EKZI_FREE_PREDICTED + (uint64_t)EKZI_MOST_PREDICTED * facts->packed_size ||
      facts->unpacked_size > EKZI_FREE_BYTES + (uint64_t)EKZI_MOST_TIMES * facts->packed_size)
    return EKZ_BAD_HEADER;
  return EKZ_OK;
}

static ekz_status ekzi_read_header(ekzi_state *s, void *work, size_t work_size, ekz_facts *facts) {
  uint32_t checksum, stored;
  ekz_status status;
  memset(facts, 0, sizeof *facts);
  if (ekzi_byte(s) != 'E' || ekzi_byte(s) != 'K' || ekzi_byte(s) != 'Z') return EKZ_NOT_EKZ;
  facts->version = ekzi_byte(s);
  if (s->cut) return EKZ_NOT_EKZ;
  if (facts->version < EKZI_OLDEST || facts->version > EKZI_NEWEST) return EKZ_NEWER;
  s->left = 6;
  stored = ekzi_number(s, EKZI_MOST_BYTES / 2);
  facts->packed_size = 4 + (6 - s->left) + stored + 2 + 4;
  if (s->cut || s->odd) return s->cut ? EKZ_CUT : EKZ_BAD_HEADER;
  s->left = stored;
  status = ekzi_read_fields(s, work, work_size, facts);
  ekzi_skip(s);
  checksum = ~s->crc & 0xFFFF;
  s->left = 2;
  stored = ekzi_word(s);
  if (s->cut) return EKZ_CUT;
  return checksum == stored ? status : EKZ_HEADER_CHECKSUM;
}

/* ---- Bits, predicted by contexts whose logits are mixed ---------------------------------- */

/* Of negative numbers too, as an arithmetic shift does; C leaves that to the compiler. */
static int64_t ekzi_shifted(int64_t number, int by) {
  return number < 0 ? ~(~number >> by) : number >> by;
}

static int32_t ekzi_clamped(int32_t number, int32_t least, int32_t most) {
  return number < least ? least : number > most ? most : number;
}

/* A probability in 1/65536 from its logit in 1/256. */
static int32_t ekzi_squash(int32_t logit) {
  static const uint16_t squashed[33] = {
      22,    36,    60,    98,    162,   267,   439,   720,   1179,  1921,  3108,
      4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
      62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514};
  uint32_t x = (uint32_t)(ekzi_clamped(logit, -2047, 2047) + 2048), part = x & 127;
  return (int32_t)((squashed[x >> 7] * (128 - part) + squashed[(x >> 7) + 1] * part) >> 7);
}

static void ekzi_fill_tables(ekzi_state *s) {
  int32_t x, filled = 0;
  uint32_t n;
  for (x = -2047; x <= 2047; ++x)
    while (filled <= ekzi_squash(x) >> 4) s->stretched[filled++] = (int16_t)x;
  while (filled < 4096) s->stretched[filled++] = 2047;
  for (n = 0; n <= EKZI_PATIENCE; ++n) {
    s->rates[n] = (uint16_t)(655360 / (10 * n + 16));
    s->trust[n] = (uint8_t)(n ? 256 * (10 * n + 3) / (10 * n + 12) : 0);
  }
}

static void ekzi_forget(ekzi_state *s) {
  size_t i, slots = (size_t)EKZI_INPUTS << s->bits;
  for (i = 0; i < slots; ++i) s->probabilities[i] = 32768;
  for (i = 0; i < EKZI_WEIGHT_SETS * EKZI_INPUTS; ++i) s->weights[i] = 9000;
  memset(s->counts, 0, slots);
}

static void ekzi_set_contexts(ekzi_state *s, const uint32_t *contexts, uint32_t count) {
  uint32_t i;
  for (i = 0; i < count; ++i) s->contexts[i] = contexts[i] * 0x9E3779B1u + i * 0x27D4EB2Fu;
}

static void ekzi_find_slots(ekzi_state *s, uint32_t node, uint32_t count) {
  uint32_t i;
  for (i = 0; i < count; ++i) {
    uint32_t place = s->contexts[i] + node * 0x85EBCA6Bu;
    place = (place ^ (place >> 15)) * 0x2C1B3C6Du;
    s->slots[i] = (i << s->bits) + (place >> (32 - s->bits));
  }
}

static void ekzi_start_coder(ekzi_state *s) {
  int i;
  s->range = 0xFFFFFFFFu;
  for (i = 0; i < 4; ++i) s->code = s->code << 8 | ekzi_next(s);
}

/* The next bit, by the slots found and one set of weights, which learn from it. Logits have 12
   bits, weights 22 and misses 22: sums and products are of 64. */
static uint32_t ekzi_bit(ekzi_state *s, uint32_t set, int32_t pace) {
  int32_t *weights = s->weights + set * EKZI_INPUTS, logits[EKZI_INPUTS], probability, miss;
  uint32_t i, part, bit;
  int64_t total = 0;
  for (i = 0; i < EKZI_INPUTS; ++i) {
    uint32_t slot = s->slots[i];
    int32_t logit = s->stretched[s->probabilities[slot] >> 4];
    logits[i] = (int32_t)ekzi_shifted(logit * s->trust[s->counts[slot]], 8);
    total += (int64_t)logits[i] * weights[i];
  }
  probability = ekzi_clamped(ekzi_squash((int32_t)ekzi_shifted(total, 16)), 24, 65512);
  part = (s->range >> 16) * (uint32_t)probability;
  bit = s->code < part;
  s->code -= bit ? 0 : part;
  s->range = bit ? part : s->range - part;
  while (s->range < 1u << 24) {
    s->code = s->code << 8 | ekzi_next(s);
    s->range <<= 8;
  }
  miss = ((bit ? 65536 : 0) - probability) * pace;
  for (i = 0; i < EKZI_INPUTS; ++i) {
    uint32_t slot = s->slots[i], old = s->probabilities[slot], rate = s->rates[s->counts[slot]];
    int64_t change = ekzi_shifted((int64_t)logits[i] * miss + (1 << 19), 20);
    weights[i] = ekzi_clamped(weights[i] + (int32_t)change, -(1 << 20), 1 << 20);
    old = bit ? old + ((65535 - old) * rate >> 16) : old - ((old * rate + 65535) >> 16);
    s->probabilities[slot] = (uint16_t)old;
    if (s->counts[slot] < EKZI_PATIENCE) ++s->counts[slot];
  }
  return bit;
}

/* ---- Kinds of segments ------------------------------------------------------------------- */

/* Predicted from the bytes before, and from what followed where the last 5 came before. */
static void ekzi_read_bytes(ekzi_state *s, uint8_t *data, uint32_t count, uint32_t stride) {
  uint32_t i, k, near = 0, far = 0, match = 0, length = 0; /* near: the last four bytes */
  const uint32_t shortest = 5, longest = 40, last = EKZI_INPUTS - 1;
  memset(s->seen, 0, (size_t)4 << s->bits); /* places are counted from 1: 0 is none */
  ekzi_start_coder(s);
  for (i = 0; i < count && !s->cut; ++i) {
    uint32_t one = near & 255, four = near >> 24, eight = far >> 24, phase = i % stride;
    uint32_t expected, strength, depth, node = 1;
    const uint32_t contexts[] = {phase, one << 2 | phase, near & 0xFFFF, near & 0xFFFFFF, near,
                                 near * 0x2545F491u + (far & 0xFFFF), four | phase << 8,
                                 four | eight << 8 | phase << 16, one | four << 8 | eight << 16};
    ekzi_set_contexts(s, contexts, last);
    if (length && data[match] == one) {
      ++match;
      length += length < longest;
    } else {
      length = 0;
    }
    if (i >= shortest) {
      uint32_t place = 0, candidate;
      for (k = 1; k <= shortest; ++k) place = place * 0x2F0B4C47u + data[i - k] + 1;
      place = (place ^ (place >> 15)) & ((1u << s->bits) - 1);
      candidate = s->seen[place];
      if (!length && candidate--) {
        while (length < longest && length < candidate &&
               data[candidate - 1 - length] == data[i - 1 - length])
          ++length;
        match = candidate;
        if (length < shortest) length = 0;
      }
      s->seen[place] = i + 1;
    }
    expected = length ? data[match] | 256u : 0;
    strength = length > 15 ? 15 + (length - 15) / 4 : length;
    for (depth = 0; depth < 8; ++depth) {
      uint32_t told = expected >> (8 - depth) == node ? strength : 0;
      ekzi_find_slots(s, node, last);
      s->slots[last] = (last << s->bits) + (told ? 2 * told + (expected >> (7 - depth) & 1) : 0);
      node = node * 2 + ekzi_bit(s, told * 4 + (i & 3), 26);
    }
    data[i] = (uint8_t)node;
    far = far << 8 | four;
    near = near << 8 | data[i];
  }
}

/* How far a symbol's value is from zero, counted in values. */
static uint32_t ekzi_size(uint32_t symbol, uint32_t negative) {
  if (!symbol) return 0;
  return symbol <= negative ? negative - symbol + 1 : symbol - negative;
}

/* First whether a symbol is 0, then its bits; predicted from its neighbours in the tensor. */
static ekz_status ekzi_read_symbols(ekzi_state *s, const ekzi_segment *segment, uint8_t *symbols,
                                    uint32_t values, uint32_t negative) {
  const uint32_t row = segment->row, inner = segment->inner;
  uint32_t i, k, back, deepest = 0, column = 0, line = 0;
  while (1u << deepest < values - 1) ++deepest;
  ekzi_start_coder(s);
  for (i = 0; i < segment->count && !s->cut; ++i) {
    uint32_t left = i >= 1 ? symbols[i - 1] : 0u, left2 = i >= 2 ? symbols[i - 2] : 0u;
    uint32_t above = i >= row ? symbols[i - row] : 0u;
    uint32_t above2 = i >= 2 * row ? symbols[i - 2 * row] : 0u;
    uint32_t same = inner && i >= inner ? symbols[i - inner] : 0u;
    uint32_t before_same = inner && i > inner ? symbols[i - inner - 1] : 0u;
    uint32_t after_same = inner && i >= inner ? symbols[i - inner + 1] : 0u;
    uint32_t around = (left ? 1u : 0u) + (left2 ? 2u : 0u) + (same ? 16u : 0u) +
                      (before_same ? 32u : 0u) + (after_same ? 64u : 0u);
    uint32_t pattern = around + (above ? 4u : 0u) + (above2 ? 8u : 0u), near = 0;
    uint32_t size_left = ekzi_size(left, negative), size_above = ekzi_size(above, negative);
    uint32_t size = 2 * (size_left + size_above + ekzi_size(same, negative));
    uint32_t scale = 0, dense = 0, depth, node, symbol;
    /* How many of the last 8 of the column and of the row are not 0. */
    for (k = 0, back = i; k < 8 && back >= row; ++k) dense += symbols[back -= row] ? 64 : 0;
    for (k = 1; k <= 8 && k <= i; ++k) dense += symbols[i - k] ? 1 : 0;
    for (; around; around >>= 1) near += around & 1;
    for (size += ekzi_size(left2, negative); size >= 4; size >>= 1) ++scale;
    const uint32_t contexts[] = {0, left, above, dense + 10 * near, column, line, same, pattern,
                                 scale * 4 + size, (size_left >> 3) * 64 + (size_above >> 3)};
    ekzi_set_contexts(s, contexts, EKZI_INPUTS);
    ekzi_find_slots(s, 0, EKZI_INPUTS);
    symbol = node = ekzi_bit(s, 0, 14);
    if (node) {
      for (depth = 1; depth <= deepest; ++depth) {
        ekzi_find_slots(s, node, EKZI_INPUTS);
        node = node * 2 + ekzi_bit(s, depth, 14);
      }
      symbol = node - (1u << deepest) + 1;
    }
    if (symbol >= values) return EKZ_BAD_SYMBOL;
    symbols[i] = (uint8_t)symbol;
    if (++column == row) {
      column = 0;
      ++line;
    }
  }
  return EKZ_OK;
}

/* The lengths of a canonical Huffman code, of which a segment has up to two. How many codes there
   are of each length, and the symbols in the order of their codes, lie where slots were: behind
   SYMBOLS, no bit is predicted any more. Returns whether there is such a code. */
static int ekzi_read_code(ekzi_state *s, uint32_t which, uint32_t symbols) {
  uint16_t *per_length = s->probabilities + 16 * which;
  uint8_t *order = s->counts + 256 * which, *lengths = s->counts + 512; /* in halves of 128 bytes */
  uint32_t i, length, room = 0, placed = 0;
  if (s->left < (symbols + 1) / 2) return 0;
  for (i = 0; i < (symbols + 1) / 2; ++i) lengths[i] = ekzi_next(s);
  for (length = 1; length < 16; ++length) {
    uint32_t before = placed;
    for (i = 0; i < symbols; ++i) {
      uint32_t both = lengths[i / 2];
      if ((i & 1 ? both & 15 : both >> 4) == length) order[placed++] = (uint8_t)i;
    }
    per_length[length] = (uint16_t)(placed - before);
    room += (placed - before) << (15 - length);
  }
  return placed && room <= 1u << 15;
}

/* The next symbol, or -1 where the payload ends or holds no code. */
static int32_t ekzi_read_coded(ekzi_state *s, uint32_t which) {
  const uint16_t *per_length = s->probabilities + 16 * which;
  uint32_t value = 0, first = 0, index = 256 * which, length;
  for (length = 1; length < 16; ++length) {
    if (!s->unread) {
      if (!s->left || s->cut) return -1;
      s->octet = ekzi_next(s);
      s->unread = 8;
    }
    value |= s->octet >> --s->unread & 1;
    if (value - first < per_length[length]) return s->counts[index + value - first];
    index += per_length[length];
    first = (first + per_length[length]) << 1;
    value <<= 1;
  }
  return -1;
}

static ekz_status ekzi_read_dense(ekzi_state *s, uint8_t *symbols, uint32_t count,
                                  uint32_t values) {
  uint32_t i;
  if (!ekzi_read_code(s, 0, values)) return EKZ_BAD_CODES;
  for (i = 0; i < count; ++i) {
    int32_t symbol = ekzi_read_coded(s, 0);
    if (symbol < 0) return EKZ_BAD_CODES;
    symbols[i] = (uint8_t)symbol;
  }
  return EKZ_OK;
}

static ekz_status ekzi_read_relative(ekzi_state *s, uint8_t *symbols, uint32_t count,
                                     uint32_t values) {
  uint32_t left, far, place = 0, bits = ekzi_next(s);
  memset(symbols, 0, count);
  if (bits < 2 || bits > 8) return EKZ_BAD_CODES;
  far = (1u << bits) - 1; /* so many zeros, and no other value behind them */
  if (!ekzi_read_code(s, 0, far + 1) || !ekzi_read_code(s, 1, values - 1)) return EKZ_BAD_CODES;
  for (left = ekzi_word(s); left;) {
    int32_t symbol, step = ekzi_read_coded(s, 0);
    if (step < 0 || (uint32_t)step >= count - place) return EKZ_BAD_CODES;
    place += (uint32_t)step;
    if ((uint32_t)step == far) continue;
    symbol = ekzi_read_coded(s, 1);
    if (symbol < 0) return EKZ_BAD_CODES;
    symbols[place++] = (uint8_t)(symbol + 1);
    --left;
  }
  return EKZ_OK;
}

static ekz_status ekzi_read_codebook(ekzi_state *s, uint32_t width, uint32_t *count) {
  uint32_t i, k, low, first, placed = 0;
  uint8_t member[32];
  *count = ekzi_next(s) + 1u;
  low = ekzi_next(s); /* 0 behind the end, where values are missing then */
  if (width == 1 && (low == 254 || (low == 255 && *count == 256))) {
    /* Bytes as a set, in the order of the signed integers that they are; the commonest first. */
    if (low == 254 && s->left < 33) return EKZ_BAD_CODEBOOK;
    first = low == 254 ? ekzi_next(s) : 0u;
    for (i = 0; i < 32; ++i) member[i] = low == 254 ? ekzi_next(s) : 255;
    if (!(member[first >> 3] << (first & 7) & 128)) return EKZ_BAD_CODEBOOK;
    s->values[placed++] = (uint8_t)first;
    for (i = 128; i < 384; ++i)
      if ((i & 255) != first && (member[i >> 3 & 31] << (i & 7) & 128))
        s->values[placed++] = (uint8_t)i;
    return placed == *count ? EKZ_OK : EKZ_BAD_CODEBOOK;
  }
  if (low >= width || s->left < *count * (width - low)) return EKZ_BAD_CODEBOOK;
  for (i = 0; i < *count; ++i)
    for (k = 0; k < width; ++k) s->values[placed++] = k < low ? 0 : ekzi_next(s);
  return EKZ_OK;
}

static ekz_status ekzi_read_by_codebook(ekzi_state *s, const ekzi_segment *segment, uint8_t *out) {
  const uint32_t width = segment->width;
  uint32_t i, values, negative = 0;
  ekz_status status = ekzi_read_codebook(s, width, &values);
  if (status != EKZ_OK) return status;
  for (i = 1; i < values; ++i) negative += (uint32_t)s->values[i * width + width - 1] >> 7;
  s->unread = 0;
  if (segment->kind == EKZI_SYMBOLS)
    status = ekzi_read_symbols(s, segment, out, values, negative);
  else if (segment->kind == EKZI_HUFFMAN)
    status = ekzi_read_dense(s, out, segment->count, values);
  else
    status = ekzi_read_relative(s, out, segment->count, values);
  if (status != EKZ_OK || s->cut) return status;
  /* The symbols lie at the front of where their values go: from the back, none is overwritten. */
  for (i = segment->count; i-- > 0;) {
    const uint8_t *value = s->values + out[i] * width;
    uint8_t *into = out + (size_t)i * width;
    uint32_t k;
    for (k = 0; k < width; ++k) into[k] = value[k];
  }
  return EKZ_OK;
}

static void ekzi_scale(const ekzi_segment *segment, uint8_t *whole) {
  float number, factor;
  uint32_t i, k, bits;
  memcpy(&factor, &segment->inner, 4);
  for (i = 0; i < segment->count; ++i) {
    /* Where source and goal overlap, what is still to be read must not be overwritten. */
    uint32_t place = 4 * (segment->row >= segment->start ? i : segment->count - 1 - i);
    const uint8_t *from = whole + segment->row + place;
    uint8_t *into = whole + segment->start + place;
    bits = from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
    memcpy(&number, &bits, 4);
    number = number * factor;
    memcpy(&bits, &number, 4);
    for (k = 0; k < 4; ++k) into[k] = (uint8_t)(bits >> (8 * k));
  }
}

/* ---- LZMA: bytes that repeat others far before them --------------------------------------- */

/* Where the probabilities of each decision begin; the workspace behind the segments has room for
   those of three bits of literals. */
enum {
  EKZI_IS_MATCH = 0,
  EKZI_IS_REP = 192,
  EKZI_IS_REP0 = 204,
  EKZI_IS_REP1 = 216,
  EKZI_IS_REP2 = 228,
  EKZI_IS_LONG = 240,
  EKZI_SLOT = 432,
  EKZI_DISTANCE = 688,
  EKZI_ALIGN = 816,
  EKZI_LENGTH = 832,
  EKZI_REP_LENGTH = 1346,
  EKZI_LITERAL = 1860
};

static void ekzi_lzma_normalize(ekzi_state *s) {
  if (s->range >> 24) return;
  s->range <<= 8;
  s->code = s->code << 8 | ekzi_next(s);
}

static uint32_t ekzi_lzma_bit(ekzi_state *s, uint16_t *probability) {
  uint32_t part = (s->range >> 11) * *probability, bit = s->code >= part;
  s->code -= bit ? part : 0;
  s->range = bit ? s->range - part : part;
  *probability = (uint16_t)(bit ? *probability - (*probability >> 5)
                                : *probability + ((2048 - *probability) >> 5));
  ekzi_lzma_normalize(s);
  return bit;
}

static uint32_t ekzi_lzma_tree(ekzi_state *s, uint16_t *tree, uint32_t bits) {
  uint32_t i, node = 1;
  for (i = 0; i < bits; ++i) node = node << 1 | ekzi_lzma_bit(s, tree + node);
  return node - (1u << bits);
}

/* The lowest bit comes first. */
static uint32_t ekzi_lzma_reverse(ekzi_state *s, uint16_t *tree, uint32_t bits) {
  uint32_t i, bit, node = 1, found = 0;
  for (i = 0; i < bits; ++i) {
    bit = ekzi_lzma_bit(s, tree + node);
    node = node << 1 | bit;
    found |= bit << i;
  }
  return found;
}

static uint32_t ekzi_lzma_length(ekzi_state *s, uint16_t *coder, uint32_t place) {
  if (!ekzi_lzma_bit(s, coder)) return ekzi_lzma_tree(s, coder + 2 + 8 * place, 3);
  if (!ekzi_lzma_bit(s, coder + 1)) return 8 + ekzi_lzma_tree(s, coder + 130 + 8 * place, 3);
  return 16 + ekzi_lzma_tree(s, coder + 258, 8);
}

/* How many bytes lie between a match and what it repeats. */
static uint32_t ekzi_lzma_distance(ekzi_state *s, uint16_t *p, uint32_t length) {
  uint32_t slot = ekzi_lzma_tree(s, p + EKZI_SLOT + 64 * (length < 3 ? length : 3), 6);
  uint32_t i, bit, bits = (slot >> 1) - 1, high = 0, distance = 2 | (slot & 1);
  if (slot < 4) return slot;
  if (slot < 14) {
    distance <<= bits;
    return distance + ekzi_lzma_reverse(s, p + EKZI_DISTANCE + distance - slot, bits);
  }
  for (i = 4; i < bits; ++i) {
    s->range >>= 1;
    bit = s->code >= s->range;
    s->code -= bit ? s->range : 0;
    high = high << 1 | bit;
    ekzi_lzma_normalize(s);
  }
  return (distance << bits) + (high << 4) + ekzi_lzma_reverse(s, p + EKZI_ALIGN, 4);
}

static ekz_status ekzi_read_lzma(ekzi_state *s, uint8_t *data, uint32_t count) {
  uint16_t *p = (uint16_t *)(void *)s->weights, *literal;
  uint32_t properties = ekzi_next(s), lc = properties % 9, lp = properties / 9 % 5;
  uint32_t pb = properties / 45, i = 0, k, state = 0, rep[4] = {0, 0, 0, 0};
  if (pb > 4 || lc + lp > 3) return EKZ_BAD_CODES;
  for (k = 0; k < EKZI_LITERAL + (0x300u << (lc + lp)); ++k) p[k] = 1024;
  ekzi_next(s); /* a byte that is 0 */
  ekzi_start_coder(s);
  while (i < count && !s->cut) {
    uint32_t place = i & ((1u << pb) - 1), length, symbol = 1;
    if (!ekzi_lzma_bit(s, p + EKZI_IS_MATCH + 16 * state + place)) {
      uint32_t before = i ? data[i - 1] : 0u, like = state < 7 ? 0u : data[i - rep[0] - 1];
      uint32_t other = state < 7 ? 0u : 0x100u;
      literal = p + EKZI_LITERAL;
      literal += 0x300u * (((i & ((1u << lp) - 1)) << lc) + (before >> (8 - lc)));
      while (symbol < 0x100) {
        uint32_t bit, expected = (like <<= 1) & other;
        bit = ekzi_lzma_bit(s, literal + other + expected + symbol);
        symbol = symbol << 1 | bit;
        if (bit != expected >> 8) other = 0;
      }
      data[i++] = (uint8_t)symbol;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    if (!ekzi_lzma_bit(s, p + EKZI_IS_REP + state)) {
      length = ekzi_lzma_length(s, p + EKZI_LENGTH, place);
      for (k = 3; k; --k) rep[k] = rep[k - 1];
      rep[0] = ekzi_lzma_distance(s, p, length);
      state = state < 7 ? 7 : 10;
    } else if (ekzi_lzma_bit(s, p + EKZI_IS_REP0 + state)) {
      uint32_t distance;
      k = 1;
      if (ekzi_lzma_bit(s, p + EKZI_IS_REP1 + state))
        k = 2 + ekzi_lzma_bit(s, p + EKZI_IS_REP2 + state);
      for (distance = rep[k]; k; --k) rep[k] = rep[k - 1];
      rep[0] = distance;
      length = ekzi_lzma_length(s, p + EKZI_REP_LENGTH, place);
      state = state < 7 ? 8 : 11;
    } else if (ekzi_lzma_bit(s, p + EKZI_IS_LONG + 16 * state + place)) {
      length = ekzi_lzma_length(s, p + EKZI_REP_LENGTH, place);
      state = state < 7 ? 8 : 11;
    } else { /* a single byte; all others are at least two */
      if (rep[0] >= i) return EKZ_BAD_CODES;
      data[i] = data[i - rep[0] - 1];
      ++i;
      state = state < 7 ? 9 : 11;
      continue;
    }
    if (rep[0] >= i) return EKZ_BAD_CODES;
    for (length += 2; length && i < count; --length, ++i) data[i] = data[i - rep[0] - 1];
  }
  return EKZ_OK;
}

/* ---- The whole file ---------------------------------------------------------------------- */

/* What is in no segment: decoded at the front, then moved apart, the last piece first. */
static ekz_status ekzi_read_skeleton(ekzi_state *s, const ekz_facts *facts, uint8_t *out) {
  ekz_status status = EKZ_OK;
  uint32_t i, begin, end = facts->unpacked_size, size = facts->unpacked_size;
  for (i = 0; i < facts->segments; ++i) size -= s->segments[i].count * s->segments[i].width;
  s->left = s->skeleton;
  if (s->skeleton_kind == EKZI_LZMA)
    status = ekzi_read_lzma(s, out, size);
  else
    ekzi_read_bytes(s, out, size, 4);
  for (i = facts->segments; i-- > 0;) {
    const ekzi_segment *segment = s->segments + i;
    uint32_t bytes = segment->count * segment->width;
    begin = segment->start + bytes;
    size -= end - begin;
    memmove(out + begin, out + size, end - begin);
    end = segment->start;
    /* One that is made from another not made yet is made from zeros. */
    if (segment->kind == EKZI_SCALED) memset(out + segment->start, 0, bytes);
  }
  return status;
}

static ekz_status ekzi_read_payload(ekzi_state *s, const ekzi_segment *segment, uint8_t *whole) {
  uint8_t *out = whole + segment->start;
  uint32_t i, size = segment->count * segment->width;
  switch (segment->kind) {
    case EKZI_STORED:
      if (s->left != size) return EKZ_BAD_STORED;
      for (i = 0; i < size && !s->cut; ++i) out[i] = ekzi_next(s);
      return EKZ_OK;
    case EKZI_BYTES:
      ekzi_read_bytes(s, out, size, segment->width);
      return EKZ_OK;
    case EKZI_LZMA:
      return ekzi_read_lzma(s, out, size);
    case EKZI_SCALED:
      ekzi_scale(segment, whole);
      return EKZ_OK;
    default:
      return ekzi_read_by_codebook(s, segment, out);
  }
}

ekz_status ekz_unpack_from(ekz_read read, void *user, uint8_t *out, size_t out_size, void *work,
                           size_t work_size) {
  /* What is made from others comes last; LZMA takes the memory that predictions had. */
  static const uint8_t order[EKZI_KINDS] = {EKZI_STORED,   EKZI_BYTES, EKZI_SYMBOLS, EKZI_HUFFMAN,
                                            EKZI_RELATIVE, EKZI_LZMA,  EKZI_SCALED};
  ekzi_state state, *s = &state;
  ekz_facts facts;
  ekz_status status;
  uint32_t i, k, kind, checksum;
  ekzi_start(s, read, user);
  status = ekzi_read_header(s, work, work_size, &facts);
  if (status != EKZ_OK) return status;
  if (!s->segments) return EKZ_WORK_TOO_SMALL;
  if (facts.unpacked_size > out_size) return EKZ_OUT_TOO_SMALL;
  ekzi_fill_tables(s);
  ekzi_forget(s);
  status = ekzi_read_skeleton(s, &facts, out);
  ekzi_skip(s);
  if (status != EKZ_OK && !s->cut) return status;
  if (s->skeleton_kind == EKZI_LZMA) {
    ekzi_fill_tables(s);
    ekzi_forget(s);
  }
  for (k = 0; k < EKZI_KINDS && !s->cut; ++k) {
    kind = order[k];
    if (kind == EKZI_SYMBOLS) ekzi_forget(s);
    for (i = 0; i < facts.segments && !s->cut; ++i) {
      const ekzi_segment *segment = s->segments + i;
      if (segment->kind != kind) continue;
      if (segment->fresh) ekzi_forget(s);
      s->left = segment->size;
      status = ekzi_read_payload(s, segment, out);
      ekzi_skip(s);
      if (status != EKZ_OK && !s->cut) return status;
    }
  }
  checksum = ~ekzi_crc(s->crc, out, facts.unpacked_size);
  s->left = 4;
  if (ekzi_word(s) != checksum && !s->cut) status = EKZ_CHECKSUM;
  if (s->cut) return EKZ_CUT;
  return ekzi_more(s) ? EKZ_MORE : status;
}

typedef struct ekzi_memory {
  const uint8_t *at;
  size_t left;
} ekzi_memory;

static size_t ekzi_from_memory(void *user, uint8_t *into, size_t size) {
  ekzi_memory *memory = (ekzi_memory *)user;
  if (size > memory->left) size = memory->left;
  if (!size) return 0;
  memcpy(into, memory->at, size);
  memory->at += size;
  memory->left -= size;
  return size;
}

ekz_status ekz_look(const uint8_t *packed, size_t size, ekz_facts *facts) {
  ekzi_memory memory;
  ekzi_state state;
  memory.at = packed;
  memory.left = size;
  ekzi_start(&state, ekzi_from_memory, &memory);
  return ekzi_read_header(&state, NULL, 0, facts);
}

ekz_status ekz_unpack(const uint8_t *packed, size_t packed_size, uint8_t *out, size_t out_size,
                      void *work, size_t work_size) {
  ekzi_memory memory;
  ekz_facts facts;
  ekz_status status = ekz_look(packed, packed_size, &facts);
  if (status != EKZ_OK) return status;
  if (packed_size != facts.packed_size)
    return packed_size < facts.packed_size ? EKZ_CUT : EKZ_MORE;
  memory.at = packed;
  memory.left = packed_size;
  return ekz_unpack_from(ekzi_from_memory, &memory, out, out_size, work, work_size);
}

const char *ekz_message(ekz_status status) {
  switch (status) {
    case EKZ_OK: return "The .ekz file was unpacked.";
    case EKZ_NOT_EKZ: return "This is not an .ekz file: the mark 'EKZ' at its begin is missing.";
    case EKZ_NEWER: return "The .ekz file is of a version that this decoder does not know.";
    case EKZ_CUT: return "The .ekz file is cut: bytes are missing at its end.";
    case EKZ_MORE: return "Something follows the end of the .ekz file.";
    case EKZ_HEADER_CHECKSUM: return "The .ekz file is damaged: its header's checksum is wrong.";
    case EKZ_BAD_HEADER: return "The .ekz file is damaged: a number in its header is impossible.";
    case EKZ_BAD_SEGMENT: return "The .ekz file is damaged: its header names an odd segment.";
    case EKZ_BAD_CODEBOOK: return "The .ekz file is damaged: a codebook contradicts itself.";
    case EKZ_BAD_SYMBOL: return "The .ekz file is damaged: a value is beyond its codebook.";
    case EKZ_BAD_CODES: return "The .ekz file is damaged: its Huffman codes are impossible.";
    case EKZ_BAD_STORED: return "The .ekz file is damaged: a stored segment has another size.";
    case EKZ_CHECKSUM: return "The .ekz file is damaged: its checksum does not match.";
    case EKZ_OUT_TOO_SMALL: return "The output buffer is too small for the unpacked file.";
    case EKZ_WORK_TOO_SMALL: return "The workspace is too small for the .ekz file.";
  }
  return "This is no status of the decoder.";
}

#endif /* EDGEKIT_UNPACK_IMPLEMENTATION */
