// UART0, the console: what comes in while a program runs is kept, and Ctrl-C stops the program when it next waits.

#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "shared/runtime/interrupt_char.h"
#include "board.h"

#define KEPT_BYTES (256)
#define BUSY_POLLS (1000000)

static uint8_t kept[KEPT_BYTES];
static uint32_t first, past_last;

static void keep(int byte) {
    if (byte == mp_interrupt_char) {
        mp_sched_keyboard_interrupt();
    } else {
        kept[past_last++ % KEPT_BYTES] = byte;
    }
}

void board_listen(void) {
    while (past_last - first < KEPT_BYTES && CONSOLE->state & UART_RX_FULL) {
        keep(CONSOLE->data);
    }
}

// A prompt waits busily at first, for some seconds, because a sleep shifts the count of instructions by part of one.
int __wrap_mp_hal_stdin_rx_chr(void) {
    for (uint32_t polls = 0; board_listen(), first == past_last; polls++) {
        clock_pause();
        if (polls > BUSY_POLLS) {
            clock_sleep(10000 * TICKS_PER_MS, false);
        }
    }
    return kept[first++ % KEPT_BYTES];
}

uintptr_t __wrap_mp_hal_stdio_poll(uintptr_t wanted) {
    board_listen();
    uintptr_t there = first == past_last ? MP_STREAM_POLL_WR : MP_STREAM_POLL_WR | MP_STREAM_POLL_RD;
    return wanted & there;
}
