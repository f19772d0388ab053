// The update's bytes: the C of tegu.wire.update, which has the layout. What an int8 magnitude is, is reckoned in whole
// numbers, so it is the nearest multiple on every machine, as Python's 64-bit floats find it.

#ifndef TEGU_CODING_H
#define TEGU_CODING_H

#include "learning.h"
#include "selection.h"

enum { F32, F16, INT8 };
#define FORMAT 1
#define BLOCK 128 // entries worked on at a time

// What is to be encoded and, filled in by measure(), how.
typedef struct {
    uint32_t codec, shape_hash, version, boot, sequence, samples;
    uint32_t count, gap_r, gap_unary_bytes, magnitude_r, magnitude_unary_bytes, scale_bits, least;
} message_t;

// A bfloat16 scale as mantissa x 2**exponent, the mantissa from 128 to 255.
typedef struct {
    uint32_t mantissa;
    int exponent;
} scale_t;

static scale_t scale_from(uint32_t scale_bits) {
    int exponent = scale_bits >> 7;
    scale_t scale = { scale_bits & 0x7f, exponent ? exponent : 1 };
    if (exponent) {
        scale.mantissa |= 0x80;
    }
    while (scale.mantissa < 128) {
        scale.mantissa <<= 1;
        scale.exponent--;
    }
    return scale;
}

// The multiple of the scale that is nearest to a float32 of no more than 127.5 of it, half-way the one farther from zero.
static inline uint32_t multiple_of(uint32_t bits, scale_t scale) {
    int exponent = (bits >> 23) & 0xff;
    uint32_t mantissa = bits & 0x7fffff;
    if (exponent) {
        mantissa |= 0x800000;
    } else {
        exponent = 1;
    }
    int shift = scale.exponent - exponent + 16; // value / scale = mantissa / (scale.mantissa << shift)
    if (shift > 23) {
        return 0;
    }
    return ((mantissa << 1) + (scale.mantissa << shift)) / (scale.mantissa << (shift + 1));
}

// The entries of an update, a block at a time: gaps, and magnitudes with the sign in the highest bit. Entries whose int8
// magnitude is zero are left out. What fits one block is worked out once.
typedef struct {
    const uint32_t *values;
    const void *indices;
    size_t k;
    int wide, codec;
    scale_t scale;
    uint32_t before; // the last index sent
    size_t ready; // 1: the only block is in place
    size_t count; // in the block
    uint32_t numbers[2][BLOCK];
} entries_t;

enum { GAPS, MAGNITUDES, SIGNS };
#define SIGN 0x80000000u

// The block from entry number `from` on.
static QUICK void pack(entries_t *e, size_t from) {
    if (e->ready) {
        return;
    }
    e->ready = e->k <= BLOCK;
    uint32_t before = from ? e->before : (uint32_t)-1, *gap = e->numbers[GAPS], *number = e->numbers[MAGNITUDES];
    size_t to = e->k - from > BLOCK ? from + BLOCK : e->k;
    scale_t scale = e->scale;
    for (; from < to; from++) {
        uint32_t index = get_index(e->indices, from, e->wide), bits = e->values[index];
        uint32_t magnitude = e->codec == INT8 ? multiple_of(bits, scale) : 1;
        if (magnitude) {
            *gap++ = index - before - 1;
            *number++ = magnitude | (bits & SIGN);
            before = index;
        }
    }
    e->before = before;
    e->count = gap - e->numbers[GAPS];
}

// The Golomb-Rice parameter with the fewest bits, the smallest of equals, for gaps or for magnitudes less `base`: costs fall
// and then rise with it, so it is found from a guess by looking at four at once.
static QUICK uint32_t rice_of(entries_t *e, int what, uint32_t base, uint32_t count, uint32_t sum, uint32_t *unary_bytes) {
    uint32_t low = 0;
    while (low < 12 && ((uint64_t)count << (low + 1)) * 3 < (uint64_t)sum * 2) {
        low++;
    }
    low -= low > 0;
    for (;;) {
        uint32_t a = 0, b = 0, c = 0, d = 0;
        for (size_t from = 0; from < e->k; from += BLOCK) {
            pack(e, from);
            for (const uint32_t *n = e->numbers[what], *end = n + e->count; n < end;) {
                uint32_t value = ((*n++ & ~SIGN) - base) >> low;
                a += value;
                b += value >> 1;
                c += value >> 2;
                d += value >> 3;
            }
        }
        uint32_t sums[4] = { a, b, c, d }, best = 0;
        for (uint32_t i = 1; i < 4; i++) {
            if (sums[i] + i * count < sums[best] + best * count) {
                best = i;
            }
        }
        if (best == 0 && low) {
            low--;
        } else if (best == 3 && low < 12) {
            low++;
        } else {
            *unary_bytes = (sums[best] + count + 7) >> 3;
            return low + best;
        }
    }
}

static uint32_t varint_bytes(uint32_t value) {
    uint32_t count = 1;
    while (value >>= 7) {
        count++;
    }
    return count;
}

// Fills in m and what the entries need; the length of the whole message, or -1 if an index is out of order or
// range or a value is not finite.
static QUICK int32_t measure(message_t *m, entries_t *e, size_t size) {
    uint32_t largest = 0, before = (uint32_t)-1, sum = 0;
    for (size_t n = 0; n < e->k; n++) {
        uint32_t index = get_index(e->indices, n, e->wide);
        if (index >= size || (n && index <= before)) {
            return -1;
        }
        before = index;
        uint32_t bits = e->values[index] << 1;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0xff000000) {
        return -1;
    }
    word_t word;
    word.bits = largest >> 1;
    word.value /= 127.0f;
    uint32_t scale_bits = (word.bits + 0xffff) >> 16;
    m->scale_bits = scale_bits < 1 ? 1 : scale_bits > 0x7f7f ? 0x7f7f : scale_bits;
    e->scale = scale_from(m->scale_bits);
    m->least = 127;
    m->count = 0;
    e->codec = m->codec;
    e->ready = 0;
    for (size_t from = 0; from < e->k; from += BLOCK) {
        pack(e, from);
        m->count += e->count;
        for (size_t n = 0; n < e->count; n++) {
            uint32_t magnitude = e->numbers[MAGNITUDES][n] & ~SIGN;
            m->least = magnitude < m->least ? magnitude : m->least;
            sum += magnitude;
        }
    }
    m->gap_r = m->gap_unary_bytes = m->magnitude_r = m->magnitude_unary_bytes = 0;
    if (m->count) {
        m->gap_r = rice_of(e, GAPS, 0, m->count, e->before + 1 - m->count, &m->gap_unary_bytes);
        if (m->codec == INT8) {
            m->magnitude_r = rice_of(e, MAGNITUDES, m->least, m->count, sum - m->least * m->count, &m->magnitude_unary_bytes);
        }
    }
    uint32_t length = 8 + varint_bytes(m->version) + varint_bytes(m->boot) + varint_bytes(m->sequence) +
        varint_bytes(m->samples) + varint_bytes(m->count) + m->gap_unary_bytes + ((m->count * m->gap_r + 7) >> 3);
    if (m->codec != INT8) {
        return length + m->count * (m->codec == F32 ? 4 : 2);
    }
    return length + 3 + ((m->count + 7) >> 3) + m->magnitude_unary_bytes + ((m->count * m->magnitude_r + 7) >> 3);
}

static uint8_t *put_varint(uint8_t *out, uint32_t value) {
    while (value > 127) {
        *out++ = value | 128;
        value >>= 7;
    }
    *out++ = value;
    return out;
}

// CRC-32 (ISO-HDLC), four bits at a time
static QUICK uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t table[16], crc = 0xffffffff;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 4; bit++) {
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
        }
        table[i] = c;
    }
    while (size--) {
        crc ^= *data++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

// A section of bits on its way out: those to come, from the least significant on.
typedef struct {
    uint8_t *out;
    uint32_t word, bits;
} section_t;

// The block's part of a section: of each number, less `base`, the unary part or the low r bits; or the signs.
static QUICK void put_block(section_t *s, const entries_t *e, int what, uint32_t base, uint32_t r, int unary) {
    const uint32_t *n = e->numbers[what == GAPS ? GAPS : MAGNITUDES], *end = n + e->count;
    uint32_t word = s->word, bits = s->bits, mask = (1u << r) - 1;
    uint8_t *out = s->out;
    while (n < end) {
        uint32_t value = *n++;
        value = what == SIGNS ? value >> 31 : (value & ~SIGN) - base;
        if (unary) {
            for (bits += value >> r; bits >= 8; bits -= 8) {
                *out++ = word;
                word = 0;
            }
            word |= 1u << bits++;
        } else {
            word |= (value & mask) << bits;
            bits += r;
        }
        for (; bits >= 8; bits -= 8) {
            *out++ = word;
            word >>= 8;
        }
    }
    s->word = word;
    s->bits = bits;
    s->out = out;
}

static uint32_t half_of(uint32_t bits) {
    uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits >= 0x477ff000) {
        return sign | 0x7bff;
    }
    uint32_t shift = 13, whole = bits - 0x38000000;
    if (bits < 0x38800000) { // a subnormal half: steps of 2**-24
        shift = 126 - (bits >> 23);
        if (shift > 24) {
            return sign;
        }
        whole = (bits & 0x7fffff) | 0x800000;
    }
    uint32_t half = whole >> shift, rest = whole & ((1u << shift) - 1), middle = 1u << (shift - 1);
    return sign | (half + (rest > middle || (rest == middle && (half & 1))));
}

// The message into out, which is as long as measure() said.
static void encode(uint8_t *out, uint32_t length, const message_t *m, entries_t *e) {
    uint8_t *p = out;
    *p++ = FORMAT << 4 | m->codec;
    *p++ = m->gap_r << 4 | m->magnitude_r;
    *p++ = m->shape_hash;
    *p++ = m->shape_hash >> 8;
    const uint32_t *number = &m->version;
    for (int i = 0; i < 5; i++) {
        p = put_varint(p, *number++); // version, boot, sequence, samples, count
    }
    if (m->codec == INT8) {
        *p++ = m->scale_bits;
        *p++ = m->scale_bits >> 8;
        *p++ = m->least;
    }
    section_t sections[5];
    for (int i = 0; i < 5; i++) {
        sections[i].word = sections[i].bits = 0;
    }
    sections[0].out = p;
    sections[1].out = p + m->gap_unary_bytes;
    sections[2].out = p = sections[1].out + ((m->count * m->gap_r + 7) >> 3);
    sections[3].out = sections[2].out + ((m->count + 7) >> 3);
    sections[4].out = sections[3].out + m->magnitude_unary_bytes;
    for (size_t from = 0; from < e->k; from += BLOCK) {
        pack(e, from);
        put_block(sections, e, GAPS, 0, m->gap_r, 1);
        put_block(sections + 1, e, GAPS, 0, m->gap_r, 0);
        if (m->codec == INT8) {
            put_block(sections + 2, e, SIGNS, 0, 1, 0);
            put_block(sections + 3, e, MAGNITUDES, m->least, m->magnitude_r, 1);
            put_block(sections + 4, e, MAGNITUDES, m->least, m->magnitude_r, 0);
        }
    }
    for (int i = 0; i < 5; i++) {
        if (sections[i].bits) {
            *sections[i].out = sections[i].word;
        }
    }
    if (m->codec != INT8) {
        for (size_t n = 0; n < e->k; n++) {
            uint32_t bits = e->values[get_index(e->indices, n, e->wide)], word = m->codec == F32 ? bits : half_of(bits);
            for (int width = m->codec == F32 ? 4 : 2; width; width--, word >>= 8) {
                *p++ = word;
            }
        }
    }
    uint32_t crc = crc32_of(out, length - 4);
    for (int i = 4; i; i--, crc >>= 8) {
        out[length - i] = crc;
    }
}

#endif
