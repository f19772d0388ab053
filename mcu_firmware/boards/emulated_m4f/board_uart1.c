// UART1, the data link, as a non-blocking stream like machine.UART's. No byte is lost: QEMU holds the sender back.

#include "py/runtime.h"
#include "py/mperrno.h"
#include "py/stream.h"
#include "board.h"

// A read is over when no byte has come for this long: QEMU hands over one at a time, some microseconds apart.
#define GAP_TICKS (TICKS_PER_MS / 2)

typedef struct _uart1_obj_t {
    mp_obj_base_t base;
} uart1_obj_t;

extern const mp_obj_type_t uart1_type;
static const uart1_obj_t uart1_obj = {{&uart1_type}};

static bool byte_comes(void) {
    if (!(UART1->state & UART_RX_FULL)) {
        clock_sleep(GAP_TICKS, true);
    }
    return UART1->state & UART_RX_FULL;
}

static mp_uint_t uart1_read(mp_obj_t self, void *buffer, mp_uint_t size, int *error) {
    uint8_t *at = buffer;
    uint8_t *end = at + size;
    if (size && !(UART1->state & UART_RX_FULL)) {
        *error = MP_EAGAIN;
        return MP_STREAM_ERROR;
    }
    while (at < end && byte_comes()) {
        *at++ = UART1->data;
    }
    return at - (uint8_t *)buffer;
}

static mp_uint_t uart1_write(mp_obj_t self, const void *buffer, mp_uint_t size, int *error) {
    const uint8_t *bytes = buffer;
    mp_uint_t sent = 0;
    while (sent < size && !(UART1->state & UART_TX_FULL)) {
        UART1->data = bytes[sent++];
    }
    if (size && !sent) {
        *error = MP_EAGAIN;
        return MP_STREAM_ERROR;
    }
    return sent;
}

static mp_uint_t uart1_ioctl(mp_obj_t self, mp_uint_t request, uintptr_t wanted, int *error) {
    if (request == MP_STREAM_POLL) {
        uint32_t state = UART1->state;
        return wanted & ((state & UART_RX_FULL ? MP_STREAM_POLL_RD : 0) | (state & UART_TX_FULL ? 0 : MP_STREAM_POLL_WR));
    }
    if (request == MP_STREAM_CLOSE || request == MP_STREAM_FLUSH) {
        return 0;
    }
    *error = MP_EINVAL;
    return MP_STREAM_ERROR;
}

static mp_obj_t uart1_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return MP_OBJ_FROM_PTR(&uart1_obj);
}

// At least how many bytes a read gives: 0 or 1.
static mp_obj_t uart1_any(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(UART1->state & UART_RX_FULL ? 1 : 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(uart1_any_obj, uart1_any);

static const mp_rom_map_elem_t uart1_names_table[] = {
    { MP_ROM_QSTR(MP_QSTR_any), MP_ROM_PTR(&uart1_any_obj) },
    { MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&mp_stream_read_obj) },
    { MP_ROM_QSTR(MP_QSTR_readinto), MP_ROM_PTR(&mp_stream_readinto_obj) },
    { MP_ROM_QSTR(MP_QSTR_readline), MP_ROM_PTR(&mp_stream_unbuffered_readline_obj) },
    { MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&mp_stream_write1_obj) },
    { MP_ROM_QSTR(MP_QSTR_flush), MP_ROM_PTR(&mp_stream_flush_obj) },
    { MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&mp_stream_close_obj) },
};
static MP_DEFINE_CONST_DICT(uart1_names, uart1_names_table);

static const mp_stream_p_t uart1_stream = {
    .read = uart1_read,
    .write = uart1_write,
    .ioctl = uart1_ioctl,
};

MP_DEFINE_CONST_OBJ_TYPE(
    uart1_type, MP_QSTR_Uart1, MP_TYPE_FLAG_NONE,
    make_new, uart1_make_new,
    protocol, &uart1_stream,
    locals_dict, &uart1_names);
