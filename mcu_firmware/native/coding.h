// The update's bytes: the C of tegu.wire.update, which has the layout. What an int8 magnitude is, is reckoned in whole
// numbers, so it is the nearest multiple on every machine, as Python's 64-bit floats find it.

#ifndef TEGU_CODING_H
#define TEGU_CODING_H

#include "selection.h"

enum { F32, F16, INT8 };
#define FORMAT 1
#define SEEN 256 // entries whose magnitudes are remembered from the first pass

// What is to be encoded and, filled in by measure(), how: tegu.native has the same fields in an array('I').
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

// The Golomb-Rice parameter with the fewest bits, the smallest of equals: costs fall and then rise with it.
typedef struct {
    uint32_t low, sums[3], count;
} rice_t;

static inline void rice_add(rice_t *rice, uint32_t value) {
    value >>= rice->low;
    rice->sums[0] += value;
    rice->sums[1] += value >> 1;
    rice->sums[2] += value >> 2;
}

// -1: the best may lie below what was looked at; 1: above; 0: it is *r, with so many bytes of unary part.
static int rice_best(const rice_t *rice, uint32_t *r, uint32_t *unary_bytes) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < 3; i++) {
        if (rice->sums[i] + i * rice->count < rice->sums[best] + best * rice->count) {
            best = i;
        }
    }
    *r = rice->low + best;
    *unary_bytes = (rice->sums[best] + rice->count + 7) >> 3;
    return best == 0 && rice->low ? -1 : best == 2 && *r < 15 ? 1 : 0;
}

// Where to look first: about the logarithm of ln 2 times the mean.
static uint32_t rice_guess(uint32_t sum, uint32_t count) {
    uint32_t r = 0;
    while (r < 13 && ((uint64_t)count << (r + 1)) * 3 < (uint64_t)sum * 2) {
        r++;
    }
    return r ? r - 1 : 0;
}

// The magnitude of entry n, from `seen` if n is among the first.
static inline uint32_t magnitude_at(size_t n, uint32_t bits, scale_t scale, const uint8_t *seen) {
    return n < SEEN ? seen[n] : multiple_of(bits, scale);
}

// One pass over the entries that are sent: gaps when `least` is 0, else magnitudes beyond the least.
static void rice_over(rice_t *rice, const uint32_t *values, const void *indices, size_t k, int wide, int codec,
    scale_t scale, const uint8_t *seen, uint32_t least) {
    uint32_t before = (uint32_t)-1;
    rice->count = rice->sums[0] = rice->sums[1] = rice->sums[2] = 0;
    for (size_t n = 0; n < k; n++) {
        uint32_t index = get_index(indices, n, wide);
        uint32_t m = codec == INT8 ? magnitude_at(n, values[index], scale, seen) : 1;
        if (m) {
            rice_add(rice, least ? m - least : index - before - 1);
            rice->count++;
            before = index;
        }
    }
}

static void rice_search(uint32_t guess, uint32_t *r, uint32_t *unary_bytes, const uint32_t *values, const void *indices,
    size_t k, int wide, int codec, scale_t scale, const uint8_t *seen, uint32_t least) {
    rice_t rice = { guess };
    int way;
    do {
        rice_over(&rice, values, indices, k, wide, codec, scale, seen, least);
        way = rice_best(&rice, r, unary_bytes);
        rice.low += way;
    } while (way);
}

static uint32_t varint_bytes(uint32_t value) {
    uint32_t count = 1;
    while (value >>= 7) {
        count++;
    }
    return count;
}

// The length of the whole message, or -1 if an index is out of order or range or a value is not finite.
static int32_t measure(message_t *m, const uint32_t *values, size_t size, const void *indices, size_t k, int wide, uint8_t *seen) {
    uint32_t largest = 0, before = (uint32_t)-1, last = before, sum = 0;
    for (size_t n = 0; n < k; n++) {
        uint32_t index = get_index(indices, n, wide);
        if (index >= size || (n && index <= before)) {
            return -1;
        }
        before = index;
        uint32_t bits = values[index] << 1;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0xff000000) {
        return -1;
    }
    union { uint32_t bits; float value; } word = { largest >> 1 };
    word.value /= 127.0f;
    uint32_t scale_bits = (word.bits + 0xffff) >> 16;
    m->scale_bits = scale_bits < 1 ? 1 : scale_bits > 0x7f7f ? 0x7f7f : scale_bits;
    scale_t scale = scale_from(m->scale_bits);
    m->least = 127;
    m->count = k;
    if (m->codec == INT8) {
        m->count = 0;
        for (size_t n = 0; n < k; n++) {
            uint32_t index = get_index(indices, n, wide), magnitude = multiple_of(values[index], scale);
            if (n < SEEN) {
                seen[n] = magnitude;
            }
            if (magnitude) {
                m->least = magnitude < m->least ? magnitude : m->least;
                m->count++;
                sum += magnitude;
                last = index;
            }
        }
    } else {
        last = before;
    }
    m->gap_r = m->gap_unary_bytes = m->magnitude_r = m->magnitude_unary_bytes = 0;
    if (m->count) {
        rice_search(rice_guess(last + 1 - m->count, m->count), &m->gap_r, &m->gap_unary_bytes, values, indices, k, wide, m->codec,
            scale, seen, 0);
        if (m->codec == INT8) {
            rice_search(rice_guess(sum - m->least * m->count, m->count), &m->magnitude_r, &m->magnitude_unary_bytes, values,
                indices, k, wide, INT8, scale, seen, m->least);
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
static uint32_t crc32_of(const uint8_t *data, size_t size) {
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

// Bits to come, from the least significant on, whole bytes being written when there are some.
typedef struct {
    uint8_t *at;
    uint32_t word, bits;
} section_t;

static inline void put_bits(section_t *s, uint32_t value, uint32_t count) {
    s->word |= value << s->bits;
    s->bits += count;
    while (s->bits >= 8) {
        *s->at++ = s->word;
        s->word >>= 8;
        s->bits -= 8;
    }
}

static inline void put_unary(section_t *s, uint32_t zeros) {
    s->bits += zeros;
    while (s->bits >= 8) {
        *s->at++ = s->word;
        s->word = 0;
        s->bits -= 8;
    }
    put_bits(s, 1, 1);
}

static void put_end(section_t *s) {
    if (s->bits) {
        *s->at++ = s->word;
    }
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
static void encode(uint8_t *out, uint32_t length, const message_t *m, const uint32_t *values, const void *indices, size_t k, int wide,
    const uint8_t *seen) {
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
    scale_t scale = scale_from(m->scale_bits);
    uint32_t gap_r = m->gap_r, magnitude_r = m->magnitude_r, before = (uint32_t)-1;
    section_t gaps = { p }, gaps_low = { p + m->gap_unary_bytes };
    section_t signs = { gaps_low.at + ((m->count * gap_r + 7) >> 3) }, unary = { signs.at + ((m->count + 7) >> 3) };
    section_t low = { unary.at + m->magnitude_unary_bytes };
    p = signs.at;
    for (size_t n = 0; n < k; n++) {
        uint32_t index = get_index(indices, n, wide), bits = values[index];
        uint32_t magnitude = m->codec == INT8 ? magnitude_at(n, bits, scale, seen) : 1;
        if (!magnitude) {
            continue;
        }
        uint32_t gap = index - before - 1;
        before = index;
        put_unary(&gaps, gap >> gap_r);
        put_bits(&gaps_low, gap & ((1u << gap_r) - 1), gap_r);
        if (m->codec == INT8) {
            magnitude -= m->least;
            put_bits(&signs, bits >> 31, 1);
            put_unary(&unary, magnitude >> magnitude_r);
            put_bits(&low, magnitude & ((1u << magnitude_r) - 1), magnitude_r);
            continue;
        }
        uint32_t word = m->codec == F32 ? bits : half_of(bits);
        for (int width = m->codec == F32 ? 4 : 2; width; width--, word >>= 8) {
            *p++ = word;
        }
    }
    put_end(&gaps);
    put_end(&gaps_low);
    if (m->codec == INT8) {
        put_end(&signs);
        put_end(&unary);
        put_end(&low);
    }
    uint32_t crc = crc32_of(out, length - 4);
    for (int i = 4; i; i--, crc >>= 8) {
        out[length - i] = crc;
    }
}

#endif
