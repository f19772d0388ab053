// The C core as a library for CPython: what tegu_native.c is for MicroPython. Tests hold it against the Python.

#include "learning.h"
#include "decoding.h"

int tegu_learn(const layer_t *layers, size_t count, float *weights, const float *x, int y, const float *wanted, float step,
    int only, float *const *rows, float *delta, float *before, float *loss) {
    return learn(layers, count, weights, x, y, wanted, step, only, rows, delta, before, loss);
}

void tegu_forward(const layer_t *layers, size_t count, const float *weights, const float *x, float *const *rows) {
    forward(layers, count, weights, x, rows);
}

int32_t tegu_top_p(const uint32_t *values, size_t size, uint32_t k, void *indices, int wide) {
    return top_p(values, size, k, indices, wide);
}

// Into `out`, which has room for all; the length, or -1.
int32_t tegu_encode(uint8_t *out, message_t *m, const uint32_t *values, size_t size, const void *indices, size_t k, int wide) {
    entries_t entries = { .values = values, .indices = indices, .k = k, .wide = wide };
    int32_t length = measure(m, &entries, size);
    if (length >= 0) {
        encode(out, length, m, &entries);
    }
    return length;
}

int32_t tegu_get_indices(const uint8_t *data, size_t at, size_t end, size_t count, uint32_t r, uint32_t size, void *indices, int wide) {
    return get_indices(data, at, end, count, r, size, indices, wide);
}

int32_t tegu_get_magnitudes(const uint8_t *data, size_t at, size_t end, size_t count, uint32_t r, float scale, uint32_t least,
    float *values) {
    return get_magnitudes(data, at, end, count, r, scale, least, values);
}
