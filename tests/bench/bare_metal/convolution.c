// One step of learning of 14x14x1 | conv 8 3x3 stride 2 same relu | conv 16 3x3 stride 2 same relu | dense 5 softmax, as
// anybody would write it: nested loops, a look at the edge for each tap, gradients in an array of their own. The yardstick for
// the C of mcu_firmware/native.

#include <math.h>

#include "machine.h"

#define STEPS 20
#define STEP_SIZE 0.01f
#define KERNEL 3
#define STRIDE 2
#define CLASSES 5

typedef struct {
    int size, depth, pad, places, channels; // square grids: inputs a side and channels, padding before, outputs a side and channels
    float *weights, *bias, *gradients;
} conv_t;

enum { TAPS_1 = 8 * 9, TAPS_2 = 16 * 9 * 8, FLAT = 4 * 4 * 16, WEIGHTS = TAPS_1 + 8 + TAPS_2 + 16 + FLAT * CLASSES + CLASSES };

static float weights[WEIGHTS], gradients[TAPS_2], x[14 * 14], first[7 * 7 * 8], second[FLAT], out[CLASSES];
static float delta_1[7 * 7 * 8], delta_2[FLAT];
static const conv_t conv_1 = { 14, 1, 0, 7, 8, weights, weights + TAPS_1, gradients };
static const conv_t conv_2 = { 7, 8, 1, 4, 16, weights + TAPS_1 + 8, weights + TAPS_1 + 8 + TAPS_2, gradients };

static void conv_forward(const conv_t *c, const float *in, float *result) {
    for (int row = 0; row < c->places; row++) {
        for (int column = 0; column < c->places; column++) {
            for (int channel = 0; channel < c->channels; channel++) {
                float total = c->bias[channel];
                for (int ky = 0; ky < KERNEL; ky++) {
                    for (int kx = 0; kx < KERNEL; kx++) {
                        int y = row * STRIDE - c->pad + ky, at = column * STRIDE - c->pad + kx;
                        if (y < 0 || y >= c->size || at < 0 || at >= c->size) {
                            continue;
                        }
                        const float *cell = in + (y * c->size + at) * c->depth;
                        const float *tap = c->weights + ((channel * KERNEL + ky) * KERNEL + kx) * c->depth;
                        for (int i = 0; i < c->depth; i++) {
                            total += tap[i] * cell[i];
                        }
                    }
                }
                *result++ = total > 0.0f ? total : 0.0f;
            }
        }
    }
}

static void conv_backward(const conv_t *c, const float *in, const float *delta, float *before) {
    int taps = c->channels * KERNEL * KERNEL * c->depth, inputs = c->size * c->size * c->depth;
    for (int t = 0; t < taps; t++) {
        c->gradients[t] = 0.0f;
    }
    for (int i = 0; before && i < inputs; i++) {
        before[i] = 0.0f;
    }
    for (int row = 0; row < c->places; row++) {
        for (int column = 0; column < c->places; column++) {
            for (int channel = 0; channel < c->channels; channel++) {
                float d = *delta++;
                if (d == 0.0f) {
                    continue;
                }
                c->bias[channel] -= STEP_SIZE * d;
                for (int ky = 0; ky < KERNEL; ky++) {
                    for (int kx = 0; kx < KERNEL; kx++) {
                        int y = row * STRIDE - c->pad + ky, at = column * STRIDE - c->pad + kx;
                        if (y < 0 || y >= c->size || at < 0 || at >= c->size) {
                            continue;
                        }
                        int cell = (y * c->size + at) * c->depth, tap = ((channel * KERNEL + ky) * KERNEL + kx) * c->depth;
                        for (int i = 0; i < c->depth; i++) {
                            c->gradients[tap + i] += d * in[cell + i];
                        }
                        for (int i = 0; before && i < c->depth; i++) {
                            before[cell + i] += c->weights[tap + i] * d;
                        }
                    }
                }
            }
        }
    }
    for (int t = 0; t < taps; t++) {
        c->weights[t] -= STEP_SIZE * c->gradients[t];
    }
    for (int i = 0; before && i < inputs; i++) {
        before[i] = in[i] > 0.0f ? before[i] : 0.0f;
    }
}

static void dense_step(float *w, int label) {
    float *bias = w + FLAT * CLASSES, top = -1e30f, sum = 0.0f;
    for (int u = 0; u < CLASSES; u++) {
        out[u] = bias[u];
        for (int i = 0; i < FLAT; i++) {
            out[u] += w[u * FLAT + i] * second[i];
        }
        top = out[u] > top ? out[u] : top;
    }
    for (int u = 0; u < CLASSES; u++) {
        sum += out[u] = expf(out[u] - top);
    }
    for (int i = 0; i < FLAT; i++) {
        delta_2[i] = 0.0f;
    }
    for (int u = 0; u < CLASSES; u++) {
        out[u] /= sum;
        float d = out[u] - (u == label);
        bias[u] -= STEP_SIZE * d;
        for (int i = 0; i < FLAT; i++) {
            delta_2[i] += w[u * FLAT + i] * d;
            w[u * FLAT + i] -= STEP_SIZE * d * second[i];
        }
    }
    for (int i = 0; i < FLAT; i++) {
        delta_2[i] = second[i] > 0.0f ? delta_2[i] : 0.0f;
    }
}

static void step(void) {
    conv_forward(&conv_1, x, first);
    conv_forward(&conv_2, first, second);
    dense_step(weights + TAPS_1 + 8 + TAPS_2 + 16, 1);
    conv_backward(&conv_2, first, delta_2, delta_1);
    conv_backward(&conv_1, x, delta_1, (float *)0);
}

int main(void) {
    for (int i = 0; i < WEIGHTS; i++) {
        weights[i] = next_number(5000.0f);
    }
    for (int i = 0; i < 14 * 14; i++) {
        x[i] = 0.5f;
    }
    step();
    uint32_t from = ticks();
    for (int i = 0; i < STEPS; i++) {
        step();
    }
    say_number((ticks() - from) * 5 / (8 * STEPS));
    say_float(out[0]);
    return 0;
}
