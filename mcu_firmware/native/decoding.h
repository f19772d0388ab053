// The sections of an update, read: the C of get_indices and get_magnitudes in tegu.wire.update. Whatever is wrong with the
// bytes is -1 here; the Python then reads them again and says what it is.

#ifndef TEGU_DECODING_H
#define TEGU_DECODING_H

#include "coding.h"

typedef struct {
    const uint8_t *data;
    size_t at, end; // in bits
} bits_t;

// Zeros up to the next one, at most `most`; -1 beyond that and at the end.
static int32_t get_unary(bits_t *b, int32_t most) {
    int32_t zeros = 0;
    while (b->at < b->end) {
        int bit = b->data[b->at >> 3] >> (b->at & 7) & 1;
        b->at++;
        if (bit) {
            return zeros;
        }
        if (++zeros > most) {
            break;
        }
    }
    return -1;
}

// The caller has made sure that they are there.
static uint32_t get_bits(bits_t *b, uint32_t count) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < count; i++, b->at++) {
        value |= (uint32_t)(b->data[b->at >> 3] >> (b->at & 7) & 1) << i;
    }
    return value;
}

// The byte after the section, or -1 if its padding is not zero.
static int32_t close_bits(const bits_t *b) {
    if (b->at & 7 && b->data[b->at >> 3] >> (b->at & 7)) {
        return -1;
    }
    return (b->at + 7) >> 3;
}

// The byte after a section of `count` unary numbers of at most `most` each, or -1.
static int32_t after_unary(const uint8_t *data, size_t at, size_t end, size_t count, int32_t most) {
    bits_t b = { data, at << 3, end << 3 };
    while (count--) {
        if (get_unary(&b, most) < 0) {
            return -1;
        }
    }
    return close_bits(&b);
}

static int32_t get_indices(const uint8_t *data, size_t at, size_t end, size_t count, uint32_t r, uint32_t size, void *indices, int wide) {
    bits_t unary = { data, at << 3, end << 3 };
    int32_t middle = after_unary(data, at, end, count, size >> r);
    if (middle < 0 || middle + ((count * r + 7) >> 3) > end) {
        return -1;
    }
    bits_t low = { data, (size_t)middle << 3, end << 3 };
    uint32_t index = (uint32_t)-1;
    for (size_t n = 0; n < count; n++) {
        uint32_t gap = (uint32_t)get_unary(&unary, size >> r) << r;
        gap |= get_bits(&low, r);
        if (gap >= size || index + 1 + gap >= size) {
            return -1;
        }
        index += 1 + gap;
        put_index(indices, n, index, wide);
    }
    return close_bits(&low);
}

static int32_t get_magnitudes(const uint8_t *data, size_t at, size_t end, size_t count, uint32_t r, float scale, uint32_t least, float *values) {
    size_t unary_at = at + ((count + 7) >> 3);
    int32_t middle = unary_at > end ? -1 : after_unary(data, unary_at, end, count, 126 >> r);
    if (middle < 0 || middle + ((count * r + 7) >> 3) > end) {
        return -1;
    }
    bits_t signs = { data, at << 3, end << 3 }, unary = { data, unary_at << 3, end << 3 }, low = { data, (size_t)middle << 3, end << 3 };
    for (size_t n = 0; n < count; n++) {
        uint32_t m = (uint32_t)get_unary(&unary, 126 >> r) << r;
        m = least + (m | get_bits(&low, r));
        if (m > 127) {
            return -1;
        }
        float value = (float)m * scale;
        if (!(value - value == 0.0f)) {
            return -1;
        }
        values[n] = get_bits(&signs, 1) ? -value : value;
    }
    if (close_bits(&signs) < 0) {
        return -1;
    }
    return close_bits(&low);
}

#endif
