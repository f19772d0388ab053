# The emulated board, built by MicroPython's qemu port out of tree: QEMU's mps2-an386 (Cortex-M4F) held to 256 KB
# of RAM by memory.ld and by the MPU (start.c). mcu_firmware/Makefile calls it; see board.h for the memory map.

QEMU_ARCH = arm
QEMU_MACHINE = mps2-an386
LDSCRIPT = $(BOARD_DIR)/memory.ld

# -Os is what upstream uses; OPTIMIZE=-O2 comes after it on the compiler's command line and wins.
OPTIMIZE ?= -Os
CFLAGS_EXTRA += $(OPTIMIZE)

CFLAGS += -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -fsingle-precision-constant
CFLAGS += -DQEMU_SOC_MPS2 -DMICROPY_HW_MCU_NAME='"Cortex-M4F of 256 KB"'
CFLAGS += -I$(BOARD_DIR) -DMP_CONFIGFILE='"$(BOARD_DIR)/mpconfig.h"'
QSTR_GLOBAL_DEPENDENCIES += $(BOARD_DIR)/mpconfig.h
MPY_CROSS_FLAGS += -march=armv7emsp
MICROPY_VFS_LFS2 = 1

SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o
SRC_C += board_start.c board_clock.c board_console.c board_uart1.c board_flash.c modboard_emulated.c
vpath %.c $(BOARD_DIR)

# What the port fixes and this board does its own way, caught at link time.
comma := ,
LDFLAGS += $(addprefix -Wl$(comma)--wrap=,uart_init mp_init pyexec_friendly_repl exit mp_hal_stdin_rx_chr mp_hal_stdio_poll)
