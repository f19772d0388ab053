// A program of its own on QEMU's mps2-an386: its start, a console, and TIMER0 as a counter of instructions.
//
// Under `-icount shift=6` an instruction is 64 ns of virtual time and the timer runs at 25 MHz: 1.6 ticks an instruction.

#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

#define FPU_ACCESS (*(volatile uint32_t *)0xE000ED88)
#define STACK_TOP 0x20040000

typedef struct {
    volatile uint32_t control, value, reload;
} timer_registers_t;
typedef struct {
    volatile uint32_t data, state, control;
} uart_registers_t;
#define TIMER ((timer_registers_t *)0x40000000)
#define UART ((uart_registers_t *)0x40004000)
enum { TIMER_ON = 1, UART_TX_FULL = 1, UART_TX_ON = 1 };

extern uint32_t data_initial[], data_start[], data_end[]; // of memory.ld
int main(void);
void start(void);

// Ends QEMU by semihosting.
static __attribute__((noreturn)) void stop(void) {
    register int operation __asm__("r0") = 0x18;
    register int reason __asm__("r1") = 0x20026;
    __asm__ volatile ("bkpt 0xab" : : "r" (operation), "r" (reason) : "memory");
    for (;;) {
    }
}

__attribute__((noreturn, noinline)) static void run(void) {
    TIMER->reload = TIMER->value = UINT32_MAX;
    TIMER->control = TIMER_ON;
    UART->control = UART_TX_ON;
    main();
    stop();
}

void start(void) {
    FPU_ACCESS |= 0xF << 20;
    __asm__ volatile ("dsb\n isb");
    for (int i = 0; data_start + i < data_end; i++) {
        data_start[i] = data_initial[i];
    }
    run();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    STACK_TOP, (uintptr_t)start, (uintptr_t)stop, (uintptr_t)stop,
};

static inline uint32_t ticks(void) {
    return UINT32_MAX - TIMER->value;
}

static void say(const char *word) {
    for (; *word; word++) {
        while (UART->state & UART_TX_FULL) {
        }
        UART->data = *word;
    }
}

static void say_number(uint32_t number) {
    char digits[12] = " ", *at = digits + 11;
    for (*at = 0; number > 9; number /= 10) {
        *--at = '0' + number % 10;
    }
    *--at = '0' + number;
    say(at);
    say("\n");
}

// Numbers in no order, the same as those of tests/board/instructions.py, divided by `by`.
static uint32_t state = 0;

static float next_number(float by) {
    state = (state * 1103515245u + 12345u) & 0x3fffffff;
    return ((int)((state >> 8) % 2001) - 1000) / by;
}

// A float, in hundred-thousandths above -100: what tells that two programs have learned the same.
static void say_float(float value) {
    say_number((uint32_t)((value + 100.0f) * 100000.0f));
}

#endif
