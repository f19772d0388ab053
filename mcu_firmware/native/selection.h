// Top-P% without sorting: the C of tegu.sparse.top_p, with the same entries as its result.
//
// The threshold is a float32 magnitude cut to 19 bits. It is found by a histogram over exponents, one over the next 8 bits of
// those with the wanted exponent, and if need be one over the 3 bits that remain: four passes at most, 1 KiB of stack.

#ifndef TEGU_SELECTION_H
#define TEGU_SELECTION_H

#include "kernels.h"

#define BINS 256

// The bin that holds the k-th from above, k becoming its rank within that bin.
static int bin_of(const uint32_t *counts, int bin, uint32_t *k) {
    while (bin > 0 && counts[bin] < *k) {
        *k -= counts[bin--];
    }
    return bin;
}

// How many values have which bits at `shift`, of those with `wanted` above them; all if there is none above. Cleared first.
static QUICK void count_bits(const uint32_t *values, const uint32_t *end, uint32_t wanted, int shift, uint32_t *counts, uint32_t mask) {
    for (uint32_t i = 0; i <= mask; i++) {
        counts[i] = 0;
    }
    uint32_t above = mask > 7 ? 8 : 3;
    if (shift == 23) {
        #pragma GCC unroll 4
        while (values < end) {
            counts[*values++ >> 23 & 0xff]++;
        }
        return;
    }
    #pragma GCC unroll 4
    while (values < end) {
        uint32_t bits = *values++ & 0x7fffffff;
        if (bits >> (shift + above) == wanted) {
            counts[bits >> shift & mask]++;
        }
    }
}

// The threshold, 19 bits, and into `ties` how many of those equal to it are taken. -1: a value is not finite, or the answer lies
// 28 octaves below the largest, where the rules of tegu.sparse are others.
static int32_t threshold_of(const uint32_t *values, size_t size, uint32_t *ties) {
    uint32_t counts[BINS];
    const uint32_t *end = values + size;
    count_bits(values, end, 0, 23, counts, BINS - 1);
    int top = BINS - 1;
    if (counts[top]) {
        return -1;
    }
    while (top > 0 && !counts[top]) {
        top--;
    }
    int exponent = bin_of(counts, top, ties);
    if (exponent < 1 || exponent < top - 28) {
        return -1;
    }
    count_bits(values, end, exponent, 15, counts, BINS - 1);
    uint32_t fine = (uint32_t)exponent << 8 | bin_of(counts, BINS - 1, ties);
    if (counts[fine & 0xff] == *ties) {
        return fine << 3; // all of this bin
    }
    count_bits(values, end, fine, 12, counts, 7);
    return fine << 3 | bin_of(counts, 7, ties);
}

static inline void put_index(void *indices, size_t at, uint32_t index, int wide) {
    if (wide) {
        ((uint32_t *)indices)[at] = index;
    } else {
        ((uint16_t *)indices)[at] = index;
    }
}

static inline uint32_t get_index(const void *indices, size_t at, int wide) {
    return wide ? ((const uint32_t *)indices)[at] : ((const uint16_t *)indices)[at];
}

// The threshold where fewer than k are not zeros and within 32 octaves of the largest: all of those are taken. -1: not so.
static int32_t lowest_of(const uint32_t *values, size_t size, uint32_t k) {
    uint32_t top = 0, count = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t bits = values[i] & 0x7fffffff;
        top = bits > top ? bits : top;
    }
    int32_t lowest = (int32_t)(top >> 20) - (BINS - 2);
    lowest = lowest < 0 ? 0 : lowest;
    for (size_t i = 0; i < size; i++) {
        count += (int32_t)((values[i] & 0x7fffffff) >> 20) >= lowest && values[i] << 1 >> 13;
    }
    return top < 0x7f800000 && count < k ? lowest << 8 : -1;
}

// The ascending indices of the k largest magnitudes; how many they are, at most k, or -1 as above.
static QUICK int32_t top_p(const uint32_t *values, size_t size, uint32_t k, void *indices, int wide) {
    uint32_t ties = k;
    int32_t floor = threshold_of(values, size, &ties);
    if (floor < 0) {
        ties = k;
        floor = lowest_of(values, size, k);
    }
    if (floor < 0) {
        return -1;
    }
    uint32_t least = (uint32_t)floor << 13, beyond = least + (1u << 13);
    size_t at = 0;
    const uint32_t *value = values, *end = values + size;
    #pragma GCC unroll 4
    while (value < end) {
        uint32_t bits = *value++ << 1;
        if (bits >= least && bits >> 13) {
            if (bits < beyond && ties-- == 0) {
                ties = 0;
                continue;
            }
            put_index(indices, at++, value - values - 1, wide);
            if (at == k) {
                break;
            }
        }
    }
    return at;
}

#endif
