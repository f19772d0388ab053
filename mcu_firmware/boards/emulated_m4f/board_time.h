// Included by extmod/modtime.c: this board has no clock that runs while it is off, so time.time() starts at 0.

static mp_obj_t mp_time_time_get(void) {
    return mp_obj_new_int_from_ull(mp_hal_time_ns() / 1000000000u);
}
