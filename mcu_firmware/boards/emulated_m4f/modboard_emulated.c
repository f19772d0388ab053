// `board_emulated`: what the emulated board has and MicroPython has no module for.

#include "py/runtime.h"
#include "extmod/vfs.h"
#include "shared/runtime/semihosting_arm.h"
#include "board.h"

extern const mp_obj_type_t uart1_type, flash_type;

// Ticks of 40 ns since reset, modulo 2**30; no garbage. The difference of two, & 0x3fffffff, over 1.6 is instructions.
static mp_obj_t ticks(void) {
    return MP_OBJ_NEW_SMALL_INT(clock_low() & 0x3FFFFFFF);
}
static MP_DEFINE_CONST_FUN_OBJ_0(ticks_obj, ticks);

// Instructions since reset, under -icount shift=6; exact until the board first sleeps. Garbage from 2**30 on.
static mp_obj_t instructions(void) {
    return mp_obj_new_int_from_ull((clock_ticks() * 5 + 7) / 8);
}
static MP_DEFINE_CONST_FUN_OBJ_0(instructions_obj, instructions);

// End QEMU: with status 0, or with 1 for any other code.
static mp_obj_t quit(size_t n_args, const mp_obj_t *args) {
    mp_semihosting_exit(n_args ? mp_obj_get_int(args[0]) : 0);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(quit_obj, 0, 1, quit);

// Make the flash an empty littlefs, mounted at /. What was in it is lost.
static mp_obj_t format(void) {
    flash_format();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(format_obj, format);

static const mp_rom_map_elem_t names_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_board_emulated) },
    { MP_ROM_QSTR(MP_QSTR_ticks), MP_ROM_PTR(&ticks_obj) },
    { MP_ROM_QSTR(MP_QSTR_instructions), MP_ROM_PTR(&instructions_obj) },
    { MP_ROM_QSTR(MP_QSTR_exit), MP_ROM_PTR(&quit_obj) },
    { MP_ROM_QSTR(MP_QSTR_format), MP_ROM_PTR(&format_obj) },
    { MP_ROM_QSTR(MP_QSTR_Uart1), MP_ROM_PTR(&uart1_type) },
    { MP_ROM_QSTR(MP_QSTR_Flash), MP_ROM_PTR(&flash_type) },
};
static MP_DEFINE_CONST_DICT(names, names_table);

const mp_obj_module_t board_emulated_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&names,
};
MP_REGISTER_MODULE(MP_QSTR_board_emulated, board_emulated_module);
