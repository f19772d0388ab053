// The module tegu_native: MicroPython's side of the C core. One file for both ways in: a native module (.mpy) that any
// firmware of the right architecture loads, and a user module that is frozen into a firmware of one's own.
//
// The functions are for tegu.native, which says what they take. Buffers are checked for size where a wrong one could
// touch other memory; anything else that is wrong is a negative or non-zero result, after which the Python says why.

#if TEGU_USER_MODULE
#include "py/obj.h"
#include "py/runtime.h"
#else
#include "py/dynruntime.h"
#endif
#include "py/objarray.h"
#include "py/objtuple.h"

#include "learning.h"
#include "decoding.h"

#define MOST_LAYERS 12
#define LAYER_INTS (sizeof(layer_t) / sizeof(int32_t))
#define FIRST_ROW 5 // of a plan: before it are layers, weights, loss and two rows of deltas

typedef struct {
    const layer_t *layers;
    size_t count;
    float *weights, *loss, *delta, *before;
    float *rows[MOST_LAYERS];
    mp_obj_t x_row;
} plan_t;

static void *buffer_of(mp_obj_t thing, size_t *bytes, int flags) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(thing, &info, flags);
    *bytes = info.len;
    return info.buf;
}

static float float_of(mp_obj_t thing) {
    #if MICROPY_FLOAT_IMPL == MICROPY_FLOAT_IMPL_DOUBLE
    return (float)mp_obj_get_float(thing);
    #else
    return mp_obj_get_float(thing);
    #endif
}

static inline void *items_of(mp_obj_t thing) {
    return ((mp_obj_array_t *)MP_OBJ_TO_PTR(thing))->items;
}

// The plan is a tuple of arrays that tegu.native has made, all of whose sizes follow from one model: looked into without asking.
static void read_plan(mp_obj_t thing, plan_t *plan) {
    const mp_obj_t *items = ((mp_obj_tuple_t *)MP_OBJ_TO_PTR(thing))->items;
    plan->layers = items_of(items[0]);
    plan->count = ((mp_obj_array_t *)MP_OBJ_TO_PTR(items[0]))->len / LAYER_INTS;
    plan->weights = items_of(items[1]);
    plan->loss = items_of(items[2]);
    plan->delta = items_of(items[3]);
    plan->before = items_of(items[4]);
    for (size_t i = 0; i < plan->count; i++) {
        plan->rows[i] = items_of(items[FIRST_ROW + i]);
    }
    plan->x_row = items[FIRST_ROW + plan->count];
}

// A row of numbers: an array('f') as it is, any other sequence copied into `room`. NULL if it has another length.
static const float *row_of(mp_obj_t thing, size_t count, mp_obj_t room) {
    mp_buffer_info_t info;
    if (mp_get_buffer(thing, &info, MP_BUFFER_READ) && info.typecode == 'f') {
        return info.len == count * sizeof(float) ? info.buf : NULL;
    }
    size_t bytes;
    float *row = buffer_of(room, &bytes, MP_BUFFER_RW);
    if ((size_t)mp_obj_get_int(mp_obj_len(thing)) != count || bytes < count * sizeof(float)) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        row[i] = float_of(mp_obj_subscr(thing, MP_OBJ_NEW_SMALL_INT(i), MP_OBJ_SENTINEL));
    }
    return row;
}

// step(plan, x, y, step_size, only), only being "", "local" or "shared": 0 done, 1 the sample is bad or the weights have diverged
static mp_obj_t native_step(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    plan_t plan;
    read_plan(args[0], &plan);
    const layer_t *last = plan.layers + plan.count - 1;
    const float *x = row_of(args[1], plan.layers->inputs, plan.x_row), *wanted = NULL;
    int y = 0, classes = last->activation == SOFTMAX ? last->units : last->activation == SIGMOID && last->units == 1 ? 2 : 0;
    float rows[16];
    if (x == NULL || !within(x, plan.layers->inputs)) {
        return MP_OBJ_NEW_SMALL_INT(1);
    }
    if (classes) {
        if (!mp_obj_is_small_int(args[2])) {
            return MP_OBJ_NEW_SMALL_INT(1);
        }
        mp_int_t label = MP_OBJ_SMALL_INT_VALUE(args[2]);
        if (label < 0 || label >= classes) {
            return MP_OBJ_NEW_SMALL_INT(1);
        }
        y = label;
    } else {
        mp_buffer_info_t info;
        wanted = rows;
        if (mp_get_buffer(args[2], &info, MP_BUFFER_READ) && info.typecode == 'f' && info.len == last->units * sizeof(float)) {
            wanted = info.buf;
        } else if (last->units > 16 || mp_obj_is_small_int(args[2]) || mp_obj_get_int(mp_obj_len(args[2])) != last->units) {
            return MP_OBJ_NEW_SMALL_INT(1);
        } else {
            for (int i = 0; i < last->units; i++) {
                rows[i] = float_of(mp_obj_subscr(args[2], MP_OBJ_NEW_SMALL_INT(i), MP_OBJ_SENTINEL));
            }
        }
        for (int i = 0; i < last->units; i++) {
            if (!within(wanted + i, 1) || (last->activation == SIGMOID && !(0.0f <= wanted[i] && wanted[i] <= 1.0f))) {
                return MP_OBJ_NEW_SMALL_INT(1);
            }
        }
    }
    size_t letters;
    mp_obj_str_get_data(args[4], &letters);
    int only = letters == 0 ? ALL : letters == 5 ? LOCAL : SHARED;
    return MP_OBJ_NEW_SMALL_INT(learn(plan.layers, plan.count, plan.weights, x, y, wanted, float_of(args[3]), only, plan.rows,
        plan.delta, plan.before, plan.loss));
}

// predict(plan, x): 0 done, 1 not a row of the right length
static mp_obj_t native_predict(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    plan_t plan;
    read_plan(args[0], &plan);
    const float *x = row_of(args[1], plan.layers->inputs, plan.x_row);
    if (x == NULL) {
        return MP_OBJ_NEW_SMALL_INT(1);
    }
    forward(plan.layers, plan.count, plan.weights, x, plan.rows);
    return MP_OBJ_NEW_SMALL_INT(0);
}

// An array('H') or array('I') of at least `count` indices; which of the two into `wide`.
static void *indices_of(mp_obj_t thing, size_t *count, int *wide, int flags) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(thing, &info, flags);
    *wide = info.typecode == 'I';
    *count = info.len >> (*wide ? 2 : 1);
    return info.buf;
}

// top_p(values, k, indices): how many indices there are, or -1
static mp_obj_t native_top_p(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bytes, room;
    int wide;
    const uint32_t *values = buffer_of(args[0], &bytes, MP_BUFFER_READ);
    mp_int_t k = mp_obj_get_int(args[1]);
    void *indices = indices_of(args[2], &room, &wide, MP_BUFFER_RW);
    if (k < 1 || (size_t)k > room || (size_t)k > bytes / 4) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    return MP_OBJ_NEW_SMALL_INT(top_p(values, bytes / 4, k, indices, wide));
}

// encode(values, indices, codec, shape_hash, version, boot, sequence, samples): the update as a bytearray; None if it cannot be
static mp_obj_t native_encode(size_t n_args, const mp_obj_t *args) {
    size_t size;
    message_t message;
    entries_t entries;
    entries.values = buffer_of(args[0], &size, MP_BUFFER_READ);
    entries.indices = indices_of(args[1], &entries.k, &entries.wide, MP_BUFFER_READ);
    for (size_t i = 2; i < n_args; i++) {
        if (!mp_obj_is_small_int(args[i]) || MP_OBJ_SMALL_INT_VALUE(args[i]) < 0 ||
            (mp_uint_t)MP_OBJ_SMALL_INT_VALUE(args[i]) > 0xffffffff) {
            return mp_const_none; // too large, or no number at all
        }
        (&message.codec)[i - 2] = MP_OBJ_SMALL_INT_VALUE(args[i]);
    }
    int32_t length = measure(&message, &entries, size / 4);
    if (length < 0) {
        return mp_const_none;
    }
    uint8_t *out = m_malloc(length);
    encode(out, length, &message, &entries);
    return mp_obj_new_bytearray_by_ref(length, out);
}

// get_indices(data, at, end, count, r, size, indices): the byte after the section, or -1
static mp_obj_t native_get_indices(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bytes, room, end = mp_obj_get_int(args[2]), count = mp_obj_get_int(args[3]);
    int wide;
    const uint8_t *data = buffer_of(args[0], &bytes, MP_BUFFER_READ);
    void *indices = indices_of(args[6], &room, &wide, MP_BUFFER_RW);
    if (end > bytes || count > room) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    return MP_OBJ_NEW_SMALL_INT(get_indices(data, mp_obj_get_int(args[1]), end, count, mp_obj_get_int(args[4]),
        mp_obj_get_int(args[5]), indices, wide));
}

// get_magnitudes(data, at, end, count, r, scale, least, values): the byte after the section, or -1
static mp_obj_t native_get_magnitudes(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bytes, room, end = mp_obj_get_int(args[2]), count = mp_obj_get_int(args[3]);
    const uint8_t *data = buffer_of(args[0], &bytes, MP_BUFFER_READ);
    float *values = buffer_of(args[7], &room, MP_BUFFER_RW);
    if (end > bytes || count > room / 4) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    return MP_OBJ_NEW_SMALL_INT(get_magnitudes(data, mp_obj_get_int(args[1]), end, count, mp_obj_get_int(args[4]), float_of(args[5]),
        mp_obj_get_int(args[6]), values));
}

// The runs of `count` floats that args[0] + args[1] and args[2] + args[3] name, or NULL
static float *run_of(mp_obj_t thing, mp_obj_t at, size_t count, int flags) {
    size_t bytes, from = mp_obj_get_int(at);
    float *floats = buffer_of(thing, &bytes, flags);
    return from <= bytes / 4 && count <= bytes / 4 - from ? floats + from : NULL;
}

// fold(target, target_at, weights, start, weights_at, start_at, count): target += weights - start; 1 if all are finite, 0 if not
static mp_obj_t native_fold(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t count = mp_obj_get_int(args[6]);
    float *to = run_of(args[0], args[1], count, MP_BUFFER_RW);
    const float *weights = run_of(args[2], args[4], count, MP_BUFFER_READ), *start = run_of(args[3], args[5], count, MP_BUFFER_READ);
    if (!to || !weights || !start) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    int finite = 1;
    for (size_t i = 0; i < count; i++) {
        to[i] += weights[i] - start[i];
        finite &= to[i] - to[i] == 0.0f;
    }
    return MP_OBJ_NEW_SMALL_INT(finite);
}

// add(target, target_at, values, sign): target += sign x values, from target_at on; 1 if all are finite, 0 if not
static mp_obj_t native_add(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bytes;
    const float *values = buffer_of(args[2], &bytes, MP_BUFFER_READ);
    float *to = run_of(args[0], args[1], bytes / 4, MP_BUFFER_RW), sign = (mp_int_t)mp_obj_get_int(args[3]); // in a native module it is unsigned
    if (!to) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    int finite = 1;
    for (size_t i = 0; i < bytes / 4; i++) {
        to[i] += sign * values[i];
        finite &= to[i] - to[i] == 0.0f;
    }
    return MP_OBJ_NEW_SMALL_INT(finite);
}

// scatter(target, start, first, last, indices, values, sign, at): the entries from number `at` on with an index below last, to
// target[start + index - first]; the number of the next entry
static mp_obj_t native_scatter(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t count, room, at = mp_obj_get_int(args[7]);
    int wide;
    uint32_t first = mp_obj_get_int(args[2]), last = mp_obj_get_int(args[3]);
    const void *indices = indices_of(args[4], &count, &wide, MP_BUFFER_READ);
    const float *values = buffer_of(args[5], &room, MP_BUFFER_READ);
    float *to = run_of(args[0], args[1], last - first, MP_BUFFER_RW), sign = (mp_int_t)mp_obj_get_int(args[6]);
    if (last < first || !to || count > room / 4) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    for (; at < count && get_index(indices, at, wide) < last; at++) {
        if (get_index(indices, at, wide) >= first) {
            to[get_index(indices, at, wide) - first] += sign * values[at];
        }
    }
    return MP_OBJ_NEW_SMALL_INT(at);
}

// widen(target, target_at, data, scale): int8 times the scale, as many as the data has bytes
static mp_obj_t native_widen(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bytes;
    const int8_t *data = buffer_of(args[2], &bytes, MP_BUFFER_READ);
    float *to = run_of(args[0], args[1], bytes, MP_BUFFER_RW), scale = float_of(args[3]);
    if (!to) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    for (size_t i = 0; i < bytes; i++) {
        to[i] = data[i] * scale;
    }
    return MP_OBJ_NEW_SMALL_INT(0);
}

#define FUNCTIONS(_) \
    _(step, MP_QSTR_step, 5) _(predict, MP_QSTR_predict, 2) _(top_p, MP_QSTR_top_p, 3) \
    _(encode, MP_QSTR_encode, 8) _(get_indices, MP_QSTR_get_indices, 7) _(get_magnitudes, MP_QSTR_get_magnitudes, 8) \
    _(fold, MP_QSTR_fold, 7) _(add, MP_QSTR_add, 4) _(scatter, MP_QSTR_scatter, 8) _(widen, MP_QSTR_widen, 4)

#define DEFINE(name, qstr, count) static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(native_##name##_obj, count, count, native_##name);
FUNCTIONS(DEFINE)

#if TEGU_USER_MODULE

#define ENTRY(name, qstr, count) { MP_ROM_QSTR(qstr), MP_ROM_PTR(&native_##name##_obj) },
static const mp_rom_map_elem_t native_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_tegu_native) },
    FUNCTIONS(ENTRY)
};
static MP_DEFINE_CONST_DICT(native_globals, native_globals_table);
const mp_obj_module_t tegu_native_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&native_globals,
};
MP_REGISTER_MODULE(MP_QSTR_tegu_native, tegu_native_module);

#else

#define STORE(name, qstr, count) mp_store_global(qstr, MP_OBJ_FROM_PTR(&native_##name##_obj));
mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    FUNCTIONS(STORE)
    MP_DYNRUNTIME_INIT_EXIT
}

#endif
