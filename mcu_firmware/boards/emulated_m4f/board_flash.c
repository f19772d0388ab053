// The flash for files: a block device (readblocks, writeblocks, ioctl) over memory that QEMU keeps in a file, so that
// it outlives a reset and a loss of power. As in NOR flash, erasing sets all bits of a block and writing only clears.

#include <string.h>

#include "py/runtime.h"
#include "py/mperrno.h"
#include "extmod/vfs.h"
#include "extmod/vfs_lfs.h"
#include "board.h"

typedef struct _flash_obj_t {
    mp_obj_base_t base;
} flash_obj_t;

extern const mp_obj_type_t flash_type;
static const flash_obj_t flash_obj = {{&flash_type}};

static mp_obj_t flash_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return MP_OBJ_FROM_PTR(&flash_obj);
}

// Where block `number` and an offset into it lie; OSError(EINVAL) if bytes from there on would not.
static uint8_t *place(size_t n_args, const mp_obj_t *args, size_t bytes) {
    mp_uint_t number = mp_obj_get_int(args[1]);
    mp_uint_t offset = n_args > 3 ? mp_obj_get_int(args[3]) : 0;
    size_t start = number * FLASH_BLOCK_BYTES + offset;
    size_t all = FLASH_BLOCKS * FLASH_BLOCK_BYTES;
    if (number >= FLASH_BLOCKS || offset >= FLASH_BLOCK_BYTES || bytes > all - start) {
        mp_raise_OSError(MP_EINVAL);
    }
    return (uint8_t *)FLASH_START + start;
}

static mp_obj_t flash_readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t into;
    mp_get_buffer_raise(args[2], &into, MP_BUFFER_WRITE);
    memcpy(into.buf, place(n_args, args, into.len), into.len);
    return MP_OBJ_NEW_SMALL_INT(0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 3, 4, flash_readblocks);

// Without an offset whole blocks are erased first.
static mp_obj_t flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t from;
    mp_get_buffer_raise(args[2], &from, MP_BUFFER_READ);
    uint8_t *at = place(n_args, args, from.len);
    if (n_args == 3) {
        memset(at, 0xFF, from.len);
    }
    for (size_t i = 0; i < from.len; i++) {
        at[i] &= ((const uint8_t *)from.buf)[i];
    }
    return MP_OBJ_NEW_SMALL_INT(0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 3, 4, flash_writeblocks);

static mp_obj_t flash_ioctl(size_t n_args, const mp_obj_t *args) {
    switch (mp_obj_get_int(args[1])) {
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(FLASH_BLOCKS);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(FLASH_BLOCK_BYTES);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE: {
            const mp_obj_t block[] = {args[0], args[2]};
            memset(place(2, block, FLASH_BLOCK_BYTES), 0xFF, FLASH_BLOCK_BYTES);
            return MP_OBJ_NEW_SMALL_INT(0);
        }
        case MP_BLOCKDEV_IOCTL_INIT:
        case MP_BLOCKDEV_IOCTL_DEINIT:
        case MP_BLOCKDEV_IOCTL_SYNC:
            return MP_OBJ_NEW_SMALL_INT(0);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_ioctl_obj, 2, 3, flash_ioctl);

// Mount the littlefs that is there at /, where the program then is. False if there is none.
bool flash_mount(void) {
    return mp_vfs_mount_and_chdir_protected(MP_OBJ_FROM_PTR(&flash_obj), mp_obj_new_str("/", 1)) == 0;
}

static void unmount(void) {
    mp_vfs_mount_t *mounted = MP_STATE_VM(vfs_mount_table);
    while (mounted != NULL && mounted->len != 1) {
        mounted = mounted->next;
    }
    if (mounted != NULL) {
        mp_vfs_umount(mounted->obj);
    }
}

// Make the flash an empty littlefs and mount it, in place of what is mounted at /; OSError if it does not hold.
void flash_format(void) {
    mp_obj_t call[3];
    unmount();
    mp_load_method(MP_OBJ_FROM_PTR(&mp_type_vfs_lfs2), MP_QSTR_mkfs, call);
    call[2] = MP_OBJ_FROM_PTR(&flash_obj);
    mp_call_method_n_kw(1, 0, call);
    if (!flash_mount()) {
        mp_raise_OSError(MP_EIO);
    }
}

static const mp_rom_map_elem_t flash_names_table[] = {
    { MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj) },
};
static MP_DEFINE_CONST_DICT(flash_names, flash_names_table);

MP_DEFINE_CONST_OBJ_TYPE(
    flash_type, MP_QSTR_Flash, MP_TYPE_FLAG_NONE,
    make_new, flash_make_new,
    locals_dict, &flash_names);
