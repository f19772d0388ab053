// The emulated board: what QEMU's mps2-an386 gives, and what of it may be used.
//
//   0x00000000  1 MB     code, read-only
//   0x20000000  256 KB   RAM: data, heap, stack
//   0x21000000  1 MB     flash for files, blocks of 4 KB; QEMU keeps it in a file of the host (tests/emulator.py)
//   0x40000000           devices: TIMER0 counts, TIMER1 wakes, UART0 is the console, UART1 the data link
//
// Anything else faults (start.c). Under `-icount shift=6` an instruction is 64 ns of virtual time and the timers run
// at 25 MHz: 1.6 ticks an instruction.

#ifndef TEGU_BOARD_H
#define TEGU_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_START (0x21000000)
#define FLASH_BLOCK_BYTES (4096)
#define FLASH_BLOCKS (256)

#define TICKS_PER_MS (25000)
#define NO_BYTE (-1)

typedef struct _board_uart_t {
    volatile uint32_t data, state, control, interrupts, divider;
} board_uart_t;

#define CONSOLE ((board_uart_t *)0x40004000)
#define UART1 ((board_uart_t *)0x40005000)
enum { UART_TX_FULL = 1, UART_RX_FULL = 2, UART_TX_ON = 1, UART_RX_ON = 2, UART_RX_INTERRUPT = 8 };

void clock_start(void);
uint32_t clock_low(void);
uint64_t clock_ticks(void);
void clock_pause(void);
void clock_sleep(uint32_t limit_ticks, bool until_uart1);
bool flash_mount(void);
void flash_format(void);
void board_listen(void);
void board_wait_ms(int limit_ms);

#endif
