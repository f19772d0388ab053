// MicroPython's options for the emulated board: the qemu port's, plus what a real board has and the port leaves out.

#include "mpconfigport.h"

#undef MICROPY_PY_TIME
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_TIME_INCLUDEFILE "board_time.h"
#undef MICROPY_PY_SELECT
#define MICROPY_PY_SELECT (1)
#undef MICROPY_PY_ASYNCIO
#define MICROPY_PY_ASYNCIO (1)
#undef MICROPY_PY_SYS_STDIO_BUFFER
#define MICROPY_PY_SYS_STDIO_BUFFER (1)

// Waiting sleeps until a byte comes or the time is over, and listens for Ctrl-C meanwhile.
void board_listen(void);
void board_wait_ms(int limit_ms);
#define MICROPY_INTERNAL_EVENT_HOOK board_listen()
#define MICROPY_INTERNAL_WFE(limit_ms) board_wait_ms(limit_ms)
