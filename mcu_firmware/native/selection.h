// Top-P% without sorting: the C of tegu.sparse.top_p, with the same entries as its result.
//
// The threshold is a float32 magnitude cut to 19 bits. It is found by a histogram over exponents, one over the next 8 bits of
// those with the wanted exponent, and if need be one over the 3 bits that remain: four passes at most, 1 KiB of stack.

#ifndef TEGU_SELECTION_H
#define TEGU_SELECTION_H

#include <stddef.h>
#include <stdint.h>

#define BINS 256

// The bin that holds the k-th from above, k becoming its rank within that bin.
static int bin_of(const uint32_t *counts, int bin, uint32_t *k) {
    while (bin > 0 && counts[bin] < *k) {
        *k -= counts[bin--];
    }
    return bin;
}

static inline void count_bits(const uint32_t *values, size_t size, uint32_t wanted, int shift, uint32_t *counts, int bins) {
    for (int i = 0; i < bins; i++) {
        counts[i] = 0;
    }
    for (size_t i = 0; i < size; i++) {
        uint32_t bits = values[i] << 1;
        if (bits >> (shift + 1) == wanted) {
            counts[(bits >> (shift + 1 - (bins == BINS ? 8 : 3))) & (bins - 1)]++;
        }
    }
}

// The threshold, 19 bits, and into `ties` how many of those equal to it are taken. -1: a value is not finite, or the answer lies
// 28 octaves below the largest, where the rules of tegu.sparse are others.
static int32_t threshold_of(const uint32_t *values, size_t size, uint32_t *ties) {
    uint32_t counts[BINS];
    for (int i = 0; i < BINS; i++) {
        counts[i] = 0;
    }
    for (size_t i = 0; i < size; i++) {
        counts[(values[i] >> 23) & 0xff]++;
    }
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
    count_bits(values, size, exponent, 23, counts, BINS);
    uint32_t fine = (uint32_t)exponent << 8 | bin_of(counts, BINS - 1, ties);
    if (counts[fine & 0xff] == *ties) {
        return fine << 3; // all of this bin
    }
    count_bits(values, size, fine, 15, counts, 8);
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

// The ascending indices of the k largest magnitudes; how many they are, which is k, or -1 as above.
static int32_t top_p(const uint32_t *values, size_t size, uint32_t k, void *indices, int wide) {
    uint32_t ties = k;
    int32_t floor = threshold_of(values, size, &ties);
    if (floor < 0) {
        return -1;
    }
    uint32_t least = (uint32_t)floor << 13, beyond = least + (1u << 13);
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t bits = values[i] << 1;
        if (bits >= least) {
            if (bits < beyond) {
                if (ties == 0) {
                    continue;
                }
                ties--;
            }
            put_index(indices, at++, i, wide);
        }
    }
    return at;
}

#endif
