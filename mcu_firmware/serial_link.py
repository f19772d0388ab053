"""The stream that the radio speaks over when the board has no network of its own: a UART with `tegu gateway` behind it.

    link = SerialLink(UART(1, 115200, rxbuf=1024, timeout=0), "room-1", time.ticks_ms)
    link.open()

Wi-Fi's socket and this are the same to the radio: readinto, write, close; the same CONNECT with the board's own user
name, password and last will goes through either (tegu.frames has the format). After close() or a loss the same object
is opened again: all its memory is taken once. A board that shares the UART with MicroPython's console calls
micropython.kbd_intr(-1) first, or a 3 in a frame interrupts its program; what the console prints does no harm.
"""

from tegu.frames import ASKING, ENDING, UP, Pipe, since_ms

ANSWER_MS = 2000  # for a gateway to say that it has heard us
OPEN_MS = 8000  # for it to reach the broker; it gives up after 5 s and says so
CLOSE_MS = 1000  # for what is still under way when the radio closes
LOOK_BYTES = 256
LOOKS = 8  # at most so many times LOOK_BYTES are read at once, so that noise cannot hold the board up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Uart(Protocol):
        """What machine.UART offers and this needs; nothing of it waits."""

        def any(self) -> int: ...
        def readinto(self, __buffer: bytearray) -> "int | None": ...
        def write(self, __data: memoryview) -> "int | None": ...


class SerialLink:
    """The board's end. uart: machine.UART with timeout=0, or what behaves so; clock: time.ticks_ms.

    pause, if given, is called over and over while open() and close() wait: machine.idle, or a short sleep.
    pipe.good, pipe.bad and pipe.resent count frames.
    """

    def __init__(
        self,
        uart: "Uart",
        device_id: str,
        clock: "Callable[[], int]",
        pause: "Callable[[], object] | None" = None,
    ) -> None:
        self.pipe = Pipe()
        self._uart = uart
        self._device_id = device_id
        self._clock = clock
        self._pause = pause
        self._life = clock()
        self._look = bytearray(LOOK_BYTES)
        self._rest: "memoryview | None" = None  # of a frame that the UART has not taken whole

    def open(self, answer_ms: int = ANSWER_MS, open_ms: int = OPEN_MS) -> "SerialLink":
        """Have the gateway connect this board to the broker. Itself, ready to be used.

        Waits answer_ms at most for any answer of the gateway, open_ms for the broker. OSError, with why not.
        """
        self._life += 1
        start_ms = self._clock()
        self.pipe.open(self._life, self._device_id, start_ms)
        while self._step() == ASKING:
            if since_ms(self._clock(), start_ms) >= (open_ms if self.pipe.answered else answer_ms):
                self._give_up()
        self._check()
        return self

    def _give_up(self) -> None:
        self.pipe.cut("given up")
        self._step()
        if self.pipe.answered:
            raise OSError("the gateway has not reached the broker in time")
        raise OSError(
            "no gateway answers on the UART: does `tegu gateway` run there, at this baud rate, with this board's TX "
            "on its RX? (%d frames heard, %d garbled)" % (self.pipe.good, self.pipe.bad)
        )

    def called(self) -> bool:
        """Whether a gateway has just come up and asks for boards, while this is closed: no need to wait any longer."""
        self._exchange()
        called = self.pipe.called
        self.pipe.called = False
        return called

    def readinto(self, buffer: "bytearray | memoryview") -> "int | None":
        """Bytes of the broker into buffer: how many. None: nothing now. 0: the connection is over; reason says why."""
        count = self.pipe.readinto(buffer)
        if count is None:
            self._exchange()
            count = self.pipe.readinto(buffer)
        return count

    def write(self, buffer: "bytes | bytearray | memoryview") -> "int | None":
        """Bytes for the broker: how many were taken, None if none can be now. OSError if the connection is over."""
        self._exchange()
        self._check()
        count = self.pipe.write(buffer)
        self._write(self._clock())
        return count or None

    def close(self) -> None:
        """End the connection when what was written has arrived; at once after CLOSE_MS. Waits that long at most."""
        start_ms = self._clock()
        self.pipe.close("the board closes")
        while self._step() == ENDING:
            if since_ms(self._clock(), start_ms) >= CLOSE_MS:
                self.pipe.cut("the board closes")

    @property
    def reason(self) -> str:
        """Why the connection is over, in the words of whoever ended it."""
        return self.pipe.reason

    def _check(self) -> None:
        if self.pipe.state != UP:
            raise OSError("the gateway: " + (self.pipe.reason or "not connected; open() first"))

    def _step(self) -> int:
        """One look while something is waited for: the state after it."""
        self._exchange()
        if self._pause is not None:
            self._pause()
        return self.pipe.state

    def _exchange(self) -> None:
        """What the UART has into the pipe, and what the pipe has into the UART."""
        now_ms = self._clock()
        for _ in range(LOOKS):
            count = self._uart.readinto(self._look) if self._uart.any() else 0
            if not count:
                break
            self.pipe.push(self._look, count, now_ms)
        self._write(now_ms)

    def _write(self, now_ms: int) -> None:
        while True:
            if self._rest is None:
                self._rest = self.pipe.next_bytes(now_ms)
            if self._rest is None:
                return
            count = self._uart.write(self._rest)
            if not count:
                return
            self._rest = self._rest[count:] if count < len(self._rest) else None
