// One step of learning of a dense network, as anybody would write it: loops over plain arrays, weights changed in place while
// the delta is carried back. The yardstick for the C of mcu_firmware/native. Compiled with -DINPUTS, -DHIDDEN_1, -DHIDDEN_2,
// -DOUTPUTS, -DTANH (0: relu), -DSOFTMAX (0: linear), -DACTIVE (1: weights above zero, so that every unit is).

#include <math.h>

#include "machine.h"

#define STEPS 20
#define STEP_SIZE 0.01f
#define WEIGHTS (INPUTS * HIDDEN_1 + HIDDEN_1 + HIDDEN_1 * HIDDEN_2 + HIDDEN_2 + HIDDEN_2 * OUTPUTS + OUTPUTS)

static float weights[WEIGHTS], x[INPUTS], first[HIDDEN_1], second[HIDDEN_2], out[OUTPUTS], wanted[OUTPUTS];
static float delta_1[HIDDEN_1], delta_2[HIDDEN_2], delta_out[OUTPUTS];

static float activation(float value) {
    return TANH ? tanhf(value) : value > 0.0f ? value : 0.0f;
}

static float slope(float output) {
    return TANH ? 1.0f - output * output : output > 0.0f ? 1.0f : 0.0f;
}

static void forward(const float *w, const float *in, int inputs, float *result, int units, int last) {
    const float *bias = w + units * inputs;
    for (int u = 0; u < units; u++) {
        const float *row = w + u * inputs;
        float total = bias[u];
        for (int i = 0; i < inputs; i++) {
            total += row[i] * in[i];
        }
        result[u] = last ? total : activation(total);
    }
}

static void backward(float *w, const float *in, int inputs, const float *delta, int units, float *before) {
    float *bias = w + units * inputs;
    for (int i = 0; before && i < inputs; i++) {
        before[i] = 0.0f;
    }
    for (int u = 0; u < units; u++) {
        float d = delta[u];
        if (d == 0.0f) {
            continue;
        }
        float move = STEP_SIZE * d, *row = w + u * inputs;
        bias[u] -= move;
        if (before) {
            for (int i = 0; i < inputs; i++) {
                before[i] += row[i] * d;
                row[i] -= move * in[i];
            }
        } else {
            for (int i = 0; i < inputs; i++) {
                row[i] -= move * in[i];
            }
        }
    }
    for (int i = 0; before && i < inputs; i++) {
        before[i] *= slope(in[i]);
    }
}

static void step(void) {
    float *w_1 = weights, *w_2 = w_1 + INPUTS * HIDDEN_1 + HIDDEN_1, *w_3 = w_2 + HIDDEN_1 * HIDDEN_2 + HIDDEN_2;
    forward(w_1, x, INPUTS, first, HIDDEN_1, 0);
    forward(w_2, first, HIDDEN_1, second, HIDDEN_2, 0);
    forward(w_3, second, HIDDEN_2, out, OUTPUTS, 1);
    if (SOFTMAX) {
        float top = out[0], total = 0.0f;
        for (int u = 1; u < OUTPUTS; u++) {
            top = out[u] > top ? out[u] : top;
        }
        for (int u = 0; u < OUTPUTS; u++) {
            total += out[u] = expf(out[u] - top);
        }
        for (int u = 0; u < OUTPUTS; u++) {
            out[u] /= total;
        }
    }
    for (int u = 0; u < OUTPUTS; u++) {
        delta_out[u] = out[u] - wanted[u];
    }
    backward(w_3, second, HIDDEN_2, delta_out, OUTPUTS, delta_2);
    backward(w_2, first, HIDDEN_1, delta_2, HIDDEN_2, delta_1);
    backward(w_1, x, INPUTS, delta_1, HIDDEN_1, (float *)0);
}

int main(void) {
    for (int i = 0; i < WEIGHTS; i++) {
        float number = next_number(ACTIVE ? 10000.0f : 5000.0f);
        weights[i] = ACTIVE && number < 0 ? -number : number;
    }
    for (int i = 0; i < INPUTS; i++) {
        x[i] = 0.5f;
    }
    for (int u = 0; u < OUTPUTS; u++) {
        wanted[u] = SOFTMAX ? u == 1 : 0.25f;
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
