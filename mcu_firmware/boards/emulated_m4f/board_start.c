// From reset to MicroPython: the FPU, the MPU, the devices; then, at every soft reset, the files; then main.py.

#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/pyexec.h"
#include "board.h"

typedef struct _mpu_t {
    volatile uint32_t type, control, region, start, shape;
} mpu_t;

#define MPU ((mpu_t *)0xE000ED90)
#define COPROCESSORS (*(volatile uint32_t *)0xE000ED88)
#define RESET_CONTROL (*(volatile uint32_t *)0xE000ED0C)

enum { READ_ONLY = 6u << 24, READ_WRITE = 3u << 24, NO_ACCESS = 0, NO_CODE = 1u << 28 };

extern uint8_t _stack_guard;

// 2**power bytes from start, which is a multiple of that; a higher number wins where regions overlap.
static void allow(uint32_t number, uint32_t start, uint32_t power, uint32_t access) {
    MPU->region = number;
    MPU->start = start;
    MPU->shape = access | (power - 1) << 1 | 1;
}

static void protect_memory(void) {
    allow(0, 0x00000000, 20, READ_ONLY);
    allow(1, 0x20000000, 18, READ_WRITE); // code too: native modules are loaded into the heap
    allow(2, FLASH_START, 20, READ_WRITE | NO_CODE);
    allow(3, 0x40000000, 29, READ_WRITE | NO_CODE);
    allow(4, (uint32_t)&_stack_guard, 10, NO_ACCESS | NO_CODE);
    MPU->control = 1;
    __asm volatile ("dsb\n isb");
}

static void uart_listen(board_uart_t *uart) {
    uart->divider = 16;
    uart->control = UART_TX_ON | UART_RX_ON | UART_RX_INTERRUPT;
    uart->data; // QEMU looks for the first byte only after one has been fetched
}

// The first function that the port calls: no floating point instruction may come before it.
void __real_uart_init(void);
void __wrap_uart_init(void) {
    COPROCESSORS |= 0xF << 20;
    __asm volatile ("dsb\n isb\n cpsid i"); // interrupts end a sleep and are never served
    protect_memory();
    clock_start();
    __real_uart_init();
    uart_listen(CONSOLE);
    uart_listen(UART1);
}

static bool main_is_due;

void __real_mp_init(void);
void __wrap_mp_init(void) {
    __real_mp_init();
    mp_obj_list_append(mp_sys_path, mp_obj_new_str("/lib", 4));
    flash_mount();
    main_is_due = true;
}

// main.py, frozen or in the flash, once after each reset; then the prompt.
int __real_pyexec_friendly_repl(void);
int __wrap_pyexec_friendly_repl(void) {
    if (main_is_due) {
        main_is_due = false;
        if (pyexec_file_if_exists("main.py") & PYEXEC_FORCED_EXIT) {
            return PYEXEC_FORCED_EXIT;
        }
    }
    return __real_pyexec_friendly_repl();
}

// The port ends QEMU where a board resets. This is machine.reset() (0) or a fatal error (1).
void __real_exit(int status);
void __wrap_exit(int status) {
    if (status == 0) {
        RESET_CONTROL = 0x05FA0004;
        __asm volatile ("dsb");
    }
    __real_exit(status);
}
