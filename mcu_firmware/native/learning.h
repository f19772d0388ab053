// One step of online learning, layer by layer: the C of tegu.model, tegu.grid and tegu.learner, bit for bit in float32.

#ifndef TEGU_LEARNING_H
#define TEGU_LEARNING_H

#include "kernels.h"

enum { DENSE, CONV, DEPTHWISE, MAXPOOL, MEANPOOL };
enum { LINEAR, RELU, TANH, SIGMOID, SOFTMAX };

// As tegu.native lays it out; height is inputs / (width * depth), rows are units / (columns * channels).
typedef struct {
    int32_t kind, activation, local, offset, bias, inputs, units;
    int32_t width, depth, kernel_y, kernel_x, stride, pad_top, pad_left, columns, channels;
} layer_t;

#define DELTA_BOUND 10.0f
#define DELTA_BOUND_BITS 0x41200000u
#define LARGEST 1e15f
#define SMALLEST 1e-12f
#define TAPS_AT_ONCE 32

typedef union {
    float value;
    uint32_t bits;
} word_t;

static float magnitude(float value) {
    return value < 0.0f ? -value : value;
}

// p 2**n; the result is a normal number
static float scaled(float p, int n) {
    word_t word = { p };
    word.bits += (uint32_t)n << 23;
    return word.value;
}

static float exp_of(float z) {
    int n = (int)(z * 1.442695f - 0.5f);
    float r = z - (float)(n * 355) / 512.0f + (float)(n * 113921) / 536870912.0f;
    float p = 1.0f + r * (1.0f / 6.0f) * (1.0f + r * (1.0f / 7.0f));
    p = 1.0f + r * (1.0f / 4.0f) * (1.0f + r * (1.0f / 5.0f) * p);
    p = 1.0f + r * (1.0f + r * (1.0f / 2.0f) * (1.0f + r * (1.0f / 3.0f) * p));
    return scaled(p, n);
}

static float tanh_of(float z) {
    if (-0.2f < z && z < 0.2f) {
        float s = z * z;
        return z * (1.0f - s * (1.0f / 3.0f - s * (2.0f / 15.0f - s * (17.0f / 315.0f))));
    }
    if (!(-9.0f < z && z < 9.0f)) {
        return z > 0.0f ? 1.0f : -1.0f;
    }
    float e = exp_of(-2.0f * magnitude(z));
    float t = (1.0f - e) / (1.0f + e);
    return z > 0.0f ? t : -t;
}

// The natural logarithm of a probability, at least SMALLEST: for telling the loss only, within 1e-6
static float log_of(float p) {
    word_t word = { p > SMALLEST ? p : SMALLEST };
    int n = (int)(word.bits >> 23) - 127;
    word.bits = (word.bits & 0x7fffff) | 0x3f800000;
    if (word.value > 1.4142135f) {
        word.value *= 0.5f;
        n++;
    }
    float s = (word.value - 1.0f) / (word.value + 1.0f);
    float q = s * s;
    return n * 0.6931472f + 2.0f * s * (1.0f + q * (1.0f / 3.0f + q * (1.0f / 5.0f + q * (1.0f / 7.0f + q * (1.0f / 9.0f)))));
}

static NOINLINE void activate(int activation, float *out, int units) {
    if (activation == RELU) { // by their bits, which is quicker: those below zero become zero, -0 and NaN stay
        for (word_t *w = (word_t *)out; units--; w++) {
            if (w->bits - 0x80000001u < 0x7f800000u) {
                w->bits = 0;
            }
        }
    } else if (activation == TANH) {
        for (int u = 0; u < units; u++) {
            out[u] = tanh_of(out[u]);
        }
    } else if (activation == SIGMOID) {
        for (int u = 0; u < units; u++) {
            float size = magnitude(out[u]);
            float e = exp_of(-(size < 60.0f ? size : 60.0f));
            out[u] = (out[u] > 0.0f ? 1.0f : e) / (1.0f + e);
        }
    } else if (activation == SOFTMAX) {
        float top = out[0], total = 0.0f;
        for (int u = 1; u < units; u++) {
            if (out[u] > top) {
                top = out[u];
            }
        }
        for (int u = 0; u < units; u++) {
            float z = out[u] - top;
            out[u] = exp_of(z > -80.0f ? z : -80.0f);
            total += out[u];
        }
        for (int u = 0; u < units; u++) {
            out[u] /= total;
        }
    }
}

// delta times the slope of the activation, which its output tells; bounded
static void through(int activation, const float *out, float *delta, int units) {
    for (word_t *d = (word_t *)delta; units--; d++, out++) {
        if (activation == RELU) {
            if (((const word_t *)out)->bits - 1 >= 0x7f800000) { // not above zero
                d->bits = 0;
            }
        } else if (activation == TANH) {
            d->value *= 1.0f - *out * *out;
        } else if (activation == SIGMOID) {
            d->value *= *out * (1.0f - *out);
        }
        if (d->bits << 1 > DELTA_BOUND_BITS << 1) { // its magnitude; as in Python, NaN becomes the bound
            d->value = d->value < 0.0f ? -DELTA_BOUND : DELTA_BOUND;
        }
    }
}

// What a kernel at one output covers, cut at the edges of the grid: taps [y0, y1) x [x0, x1), the first cell at top, left.
typedef struct {
    int top, left, y0, y1, x0, x1;
} window_t;

static window_t window_of(const layer_t *l, int row, int column) {
    int height = l->inputs / (l->width * l->depth);
    window_t w;
    w.top = row * l->stride - l->pad_top;
    w.left = column * l->stride - l->pad_left;
    w.y0 = w.top < 0 ? -w.top : 0;
    w.x0 = w.left < 0 ? -w.left : 0;
    w.y1 = l->kernel_y < height - w.top ? l->kernel_y : height - w.top;
    w.x1 = l->kernel_x < l->width - w.left ? l->kernel_x : l->width - w.left;
    return w;
}

// The grid's own copies: its runs are short and many, and native code is to be small.
static NOINLINE float grid_dot(float total, const float *w, const float *x, size_t n) {
    return dot(total, w, x, n);
}

static NOINLINE void grid_add(float *to, float d, const float *x, size_t n) {
    add_row(to, d, x, n);
}

static float pool(const layer_t *l, const float *x, const window_t *w, int channel) {
    float total = 0.0f, most = 0.0f;
    int count = 0;
    for (int ky = w->y0; ky < w->y1; ky++) {
        const float *cell = x + ((w->top + ky) * l->width + w->left + w->x0) * l->depth + channel;
        for (int kx = w->x0; kx < w->x1; kx++, cell += l->depth) {
            total += *cell;
            if (!count++ || *cell > most) {
                most = *cell;
            }
        }
    }
    return l->kind == MEANPOOL ? total / count : most;
}

static NOINLINE void grid_forward(const layer_t *l, const float *weights, const float *x, float *out) {
    int depth = l->kind == CONV ? l->depth : 1, taps = l->kernel_y * l->kernel_x * depth;
    int rows = l->units / (l->columns * l->channels);
    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < l->columns; column++) {
            window_t w = window_of(l, row, column);
            int run = (w.x1 - w.x0) * depth;
            for (int channel = 0; channel < l->channels; channel++) {
                if (l->kind >= MAXPOOL) {
                    *out++ = pool(l, x, &w, channel);
                    continue;
                }
                const float *tap = weights + l->offset + channel * taps + w.x0 * depth + w.y0 * l->kernel_x * depth;
                const float *cell = x + ((w.top + w.y0) * l->width + w.left + w.x0) * l->depth;
                float total = weights[l->bias + channel];
                for (int ky = w.y0; ky < w.y1; ky++, tap += l->kernel_x * depth, cell += l->width * l->depth) {
                    if (l->kind == CONV) {
                        total = grid_dot(total, tap, cell, run);
                    } else {
                        for (int kx = 0; kx < run; kx++) {
                            total += tap[kx] * cell[kx * l->depth + channel];
                        }
                    }
                }
                *out++ = total;
            }
        }
    }
}

// One output's delta to the inputs that it came from
static void grid_carry(const layer_t *l, const float *weights, const float *x, float out, float d, float *before,
    const window_t *w, int channel) {
    int depth = l->kind == CONV ? l->depth : 1, taps = l->kernel_y * l->kernel_x * depth;
    int run = w->x1 - w->x0;
    float share = d / (float)((w->y1 - w->y0) * run);
    for (int ky = w->y0; ky < w->y1; ky++) {
        const float *tap = weights + l->offset + channel * taps + (ky * l->kernel_x + w->x0) * depth;
        int cell = ((w->top + ky) * l->width + w->left + w->x0) * l->depth + (l->kind == CONV ? 0 : channel);
        if (l->kind == CONV) {
            grid_add(before + cell, d, tap, run * depth);
            continue;
        }
        for (int kx = 0; kx < run; kx++, cell += l->depth) {
            if (l->kind == DEPTHWISE) {
                before[cell] += tap[kx] * d;
            } else if (l->kind == MEANPOOL) {
                before[cell] += share;
            } else if (x[cell] == out) {
                before[cell] += d;
                return; // to the first of equals
            }
        }
    }
}

// Each weight by its gradient, summed over the grid row by row, some taps of a row of the kernel at a time
static void grid_move(const layer_t *l, float *weights, float step, const float *x, const float *delta) {
    int depth = l->kind == CONV ? l->depth : 1, row_taps = l->kernel_x * depth, rows = l->units / (l->columns * l->channels);
    int height = l->inputs / (l->width * l->depth);
    float sums[TAPS_AT_ONCE];
    for (int channel = 0; channel < l->channels; channel++) {
        float *tap = weights + l->offset + channel * row_taps * l->kernel_y;
        float total = 0.0f;
        for (int at = channel; at < l->units; at += l->channels) {
            total += delta[at];
        }
        weights[l->bias + channel] -= step * total;
        for (int ky = 0; ky < l->kernel_y; ky++, tap += row_taps) {
            for (int from = 0; from < row_taps; from += TAPS_AT_ONCE) {
                int to = row_taps - from < TAPS_AT_ONCE ? row_taps : from + TAPS_AT_ONCE;
                for (int t = from; t < to; t++) {
                    sums[t - from] = 0.0f;
                }
                const float *d = delta + channel;
                for (int row = 0; row < rows; row++) {
                    int y = row * l->stride - l->pad_top + ky;
                    if (y < 0 || y >= height) {
                        d += l->columns * l->channels;
                        continue;
                    }
                    for (int column = 0; column < l->columns; column++, d += l->channels) {
                        if (*d == 0.0f) {
                            continue;
                        }
                        int left = (column * l->stride - l->pad_left) * depth; // tap t stands on left + t
                        int first = left + from < 0 ? -left : from;
                        int last = l->width * depth - left < to ? l->width * depth - left : to;
                        const float *cell = x + (size_t)y * l->width * l->depth;
                        if (l->kind == CONV) {
                            if (first < last) {
                                grid_add(sums + first - from, *d, cell + left + first, last - first);
                            }
                            continue;
                        }
                        for (int t = first; t < last; t++) {
                            sums[t - from] += *d * cell[(left + t) * l->depth + channel];
                        }
                    }
                }
                for (int t = from; t < to; t++) {
                    tap[t] -= step * sums[t - from];
                }
            }
        }
    }
}

static NOINLINE void grid_backward(const layer_t *l, float *weights, float step, const float *x, const float *out,
    const float *delta, float *before) {
    if (before) {
        for (int i = 0; i < l->inputs; i++) {
            before[i] = 0.0f;
        }
        int rows = l->units / (l->columns * l->channels), at = 0;
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < l->columns; column++) {
                window_t w = window_of(l, row, column);
                for (int channel = 0; channel < l->channels; channel++, at++) {
                    if (delta[at] != 0.0f) {
                        grid_carry(l, weights, x, out[at], delta[at], before, &w, channel);
                    }
                }
            }
        }
    }
    if (l->kind < MAXPOOL && step != 0.0f) {
        grid_move(l, weights, step, x, delta);
    }
}

static void dense_backward(const layer_t *l, float *weights, float step, const float *x, const float *delta, float *before) {
    float *row = weights + l->offset, *bias = weights + l->bias;
    size_t width = l->inputs;
    if (before) {
        for (size_t i = 0; i < width; i++) {
            before[i] = 0.0f;
        }
    }
    for (int u = 0; u < l->units; u++, row += width) {
        float d = delta[u];
        if (d == 0.0f) {
            continue;
        }
        float move = step * d;
        bias[u] -= move;
        if (before) {
            carry_and_move_row(row, before, d, move, x, width);
        } else {
            add_row(row, -move, x, width);
        }
    }
}

static void forward(const layer_t *layers, size_t count, const float *weights, const float *x, float *const *rows) {
    for (size_t at = 0; at < count; at++) {
        const layer_t *l = layers + at;
        float *out = rows[at];
        if (l->kind == DENSE) {
            const float *row = weights + l->offset;
            size_t width = l->inputs;
            for (int u = 0; u < l->units; u++, row += width) {
                out[u] = dot(weights[l->bias + u], row, x, width);
            }
        } else {
            grid_forward(l, weights, x, out);
        }
        activate(l->activation, out, l->units);
        x = out;
    }
}

// 1 if all of the row are numbers within +-LARGEST
static int within(const float *row, size_t count) {
    while (count--) {
        if (!(-LARGEST <= *row && *row <= LARGEST)) {
            return 0;
        }
        row++;
    }
    return 1;
}

// Loss by pre-activation of the last layer into delta; the loss is returned. `wanted`: outputs, or NULL for class `y`.
static NOINLINE float output_delta(const layer_t *last, const float *out, int y, const float *wanted, float *delta) {
    float loss = 0.0f;
    for (int u = 0; u < last->units; u++) {
        float target = wanted ? wanted[u] : last->activation == SOFTMAX ? (float)(u == y) : (float)y;
        float d = delta[u] = out[u] - target;
        if (last->activation == SIGMOID) {
            loss -= target * log_of(out[u]) + (1.0f - target) * log_of(1.0f - out[u]);
        } else if (last->activation == SOFTMAX) {
            if (u == y) {
                loss = -log_of(out[u]);
            }
        } else {
            loss += 0.5f * d * d;
        }
    }
    if (last->activation != SIGMOID && last->activation != SOFTMAX) {
        through(last->activation, out, delta, last->units);
    }
    return loss;
}

enum { ALL, LOCAL, SHARED };

// One step; 0, or 1 if the loss is not finite, when no weight has changed. rows: one of outputs a layer; deltas: two, each as
// wide as the widest layer.
static int learn(const layer_t *layers, size_t count, float *weights, const float *x, int y, const float *wanted, float step,
    int only, float *const *rows, float *delta, float *before, float *loss) {
    forward(layers, count, weights, x, rows);
    *loss = output_delta(layers + count - 1, rows[count - 1], y, wanted, delta);
    if (!(*loss - *loss == 0.0f)) {
        return 1;
    }
    for (size_t at = count; at-- > 0;) {
        const layer_t *l = layers + at;
        float by = only == ALL || (only == LOCAL) == (l->local != 0) ? step : 0.0f;
        const float *row = at ? rows[at - 1] : x;
        float *back = at ? before : NULL;
        if (l->kind == DENSE) {
            dense_backward(l, weights, by, row, delta, back);
        } else {
            grid_backward(l, weights, by, row, rows[at], delta, back);
        }
        if (at) {
            through(layers[at - 1].activation, rows[at - 1], before, layers[at - 1].units);
            float *other = delta;
            delta = before;
            before = other;
        }
    }
    return 0;
}

#endif
