// Time, from the machine's 25 MHz timers. Virtual: it follows the instructions executed, and the wall clock only while
// the processor sleeps. So a wait lasts as long as it says, and the same work takes the same time in every run.

#include "py/mphal.h"
#include "py/runtime.h"
#include "board.h"

typedef struct _board_timer_t {
    volatile uint32_t control, value, reload, interrupt;
} board_timer_t;

#define COUNTER ((board_timer_t *)0x40000000)
#define ALARM ((board_timer_t *)0x40001000)
#define HUNDREDTHS (*(volatile uint32_t *)0x40028014) // of a second since reset
#define INTERRUPT_ENABLE (*(volatile uint32_t *)0xE000E100)
#define INTERRUPT_FORGET (*(volatile uint32_t *)0xE000E280)

enum { TIMER_ON = 1, TIMER_INTERRUPT = 8 };
enum { WAKE_CONSOLE = 1 << 0, WAKE_UART1 = 1 << 2, WAKE_ALARM = 1 << 9 };

void clock_start(void) {
    COUNTER->reload = UINT32_MAX;
    COUNTER->value = UINT32_MAX;
    COUNTER->control = TIMER_ON;
    INTERRUPT_ENABLE = WAKE_CONSOLE | WAKE_UART1 | WAKE_ALARM;
}

// The ticks' lower half.
uint32_t clock_low(void) {
    return UINT32_MAX - COUNTER->value;
}

// Ticks since reset: TIMER0 counts down and wraps every 172 s, the hundredths say how often it has.
uint64_t clock_ticks(void) {
    uint32_t low = clock_low();
    uint64_t rough = (uint64_t)HUNDREDTHS * (TICKS_PER_MS * 10);
    uint64_t wraps = (rough + (1u << 31) - low) >> 32;
    return wraps << 32 | low;
}

// Between two looks at a device: QEMU's other thread, which brings the bytes, gets its turn.
void clock_pause(void) {
    for (int i = 0; i < 250; i++) {
        __asm volatile ("nop");
    }
}

// Stop the processor until a byte is there or limit_ticks are over. It may come back earlier.
void clock_sleep(uint32_t limit_ticks, bool until_uart1) {
    ALARM->control = 0;
    ALARM->interrupt = 1;
    ALARM->reload = limit_ticks;
    ALARM->value = limit_ticks;
    ALARM->control = TIMER_ON | TIMER_INTERRUPT;
    CONSOLE->interrupts = UINT32_MAX;
    UART1->interrupts = UINT32_MAX;
    INTERRUPT_FORGET = WAKE_CONSOLE | WAKE_UART1 | WAKE_ALARM;
    if (CONSOLE->state & UART_RX_FULL || (until_uart1 && UART1->state & UART_RX_FULL)) {
        return;
    }
    __asm volatile ("dsb\n wfi");
    ALARM->control = 0;
}

// MicroPython's wait for events, as in select: -1 is without limit.
void board_wait_ms(int limit_ms) {
    if (limit_ms != 0) {
        uint32_t ms = limit_ms < 0 || limit_ms > 10000 ? 10000 : limit_ms;
        clock_sleep(ms * TICKS_PER_MS, true);
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t end = clock_ticks() + (uint64_t)ms * TICKS_PER_MS;
    for (;;) {
        board_listen();
        mp_handle_pending(true);
        uint64_t now = clock_ticks();
        if (now >= end) {
            return;
        }
        clock_sleep(MIN(end - now, 10000 * TICKS_PER_MS), false);
    }
}

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = clock_ticks() + (uint64_t)us * (TICKS_PER_MS / 1000);
    while (clock_ticks() < end) {
    }
}

mp_uint_t mp_hal_ticks_ms(void) {
    return clock_ticks() / TICKS_PER_MS;
}

mp_uint_t mp_hal_ticks_us(void) {
    return clock_ticks() / (TICKS_PER_MS / 1000);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return clock_ticks();
}

uint64_t mp_hal_time_ns(void) {
    return clock_ticks() * 40;
}
