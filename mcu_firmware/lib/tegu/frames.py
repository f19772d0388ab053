"""A reliable, ordered stream of bytes over a serial line that loses, changes and adds bytes. No I/O, no clock.

So a board without a network speaks to `tegu gateway`. A frame lies between two zero bytes, and COBS takes the zeros out
of what is between them (Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking
7(2), 1999):

    bytes  field
    1      kind in the low half; 0x80: from the board; 0x40: AGAIN, of an ACK
    1      life: a number that the board chooses anew at each OPEN
    1      sequence: of DATA and END, from 0 in each life; of ACK, the next one wanted; else 0
    1      length of the payload, 0 to 240
    ...    payload
    4      CRC-32 (ISO-HDLC) of all before, little-endian

    kind      from     payload; what it says
    1 OPEN    board    version of the frames (1), device id; connect me. Repeated until it is answered
    2 OPENED  gateway  -; you are connected
    3 DATA    both     bytes of the stream
    4 ACK     both     -; everything before `sequence` is here. AGAIN: what follows was lost, send it again.
                       The first one answers OPEN while the broker is being connected
    5 END     both     why; nothing follows. Acknowledged like DATA
    6 CLOSE   both     why; this life is over, or not known here. Not acknowledged
    7 WHO     gateway  -; nobody is known here, so whoever is there may OPEN at once

Whatever lies between two zeros and is no such frame (a board's console, noise, half a frame) is counted and dropped.
What was not acknowledged in time is sent again from there on (go-back-N): the line keeps the order, so a receiver needs
no place for what came too early. A frame that finds no place because nobody reads is not acknowledged either, and
asked for once there is. An END or DATA for a life that is not open is answered by CLOSE: a gateway that was started
again tells its boards so at their next byte, and by WHO at once. Nothing heard for a minute while something waits for
its ACK ends it; MQTT's keepalive is faster.

WINDOW frames may be under way. Bytes of payload a second to the board at 115,200 baud (11,014 at most) with 16 ms of
latency in the USB adapter, for a board that looks at its UART every so often (simulated by tests/test_frames.py):

    window            1       2       3       4
    every 5 ms    7,490  10,990  10,990  10,990
    every 30 ms   5,020   9,000  10,990  10,990
    every 100 ms  2,380   4,750   7,130   8,900

Three: a board that learns looks every 30 ms or so, each more costs it 500 bytes of heap, and its UART must keep what
comes in between. 3 frames and their ACKs fit into rxbuf=1024; with 512 the last line's 7,130 are 2,400.
"""

from binascii import crc32
from struct import pack_into

VERSION = 1
WINDOW = 3
PAYLOAD_BYTES = 240
AROUND_BYTES = 11  # a frame on the wire without its payload: two zeros, the first code, header, CRC
WIRE_BYTES = PAYLOAD_BYTES + AROUND_BYTES
CODED_BYTES = WIRE_BYTES - 2  # what lies between the zeros
BARE_BYTES = AROUND_BYTES - 2
GOOD_CRC = 0x2144DF1C  # what CRC-32 gives for anything that ends with its own CRC-32

OPEN, OPENED, DATA, ACK, END, CLOSE, WHO = range(1, 8)
AGAIN = 0x40
FROM_BOARD = 0x80

# States of a pipe: closed; a board that waits for OPENED; a gateway that must accept() or cut(); open; sends its END.
SHUT, ASKING, ASKED, UP, ENDING = range(5)

REPEAT_MS = 500  # an OPEN without an answer is sent again
FIRST_RTT_MS = 100  # a round trip, until one was measured
RESEND_MS = 3 * FIRST_RTT_MS + 100
LONGEST_RESEND_MS = 4000
SILENT_MS = 60000  # what waits for its ACK this long while nothing is heard will not get one

TYPE_CHECKING = False
if TYPE_CHECKING:
    Readable = bytes | bytearray
    Payload = bytes | bytearray | memoryview


def since_ms(now_ms: int, then_ms: int) -> int:
    """Milliseconds from then to now, both of MicroPython's time.ticks_ms, which wraps; right for up to 12 days."""
    return (now_ms - then_ms) & 0x3FFFFFFF


def stuff(buffer: bytearray, start: int, end: int) -> None:
    """Take the zeros out of buffer[start + 1 : end], at most 253 bytes; the first code goes to buffer[start]."""
    while True:
        zero = buffer.find(b"\0", start + 1, end)
        if zero < 0:
            break
        buffer[start] = zero - start
        start = zero
    buffer[start] = end - start


def unstuff(buffer: bytearray, end: int) -> bool:
    """Put the zeros back into buffer[1:end], whose first code is buffer[0]. False: it is not what stuff() makes."""
    at = 0
    while at < end:
        code = buffer[at]
        if not code:
            return False
        buffer[at] = 0
        at += code
    return at == end


def seal(buffer: bytearray, kind: int, life: int, sequence: int, length: int) -> int:
    """Make a frame of the payload in buffer[6 : 6 + length]. How many bytes go onto the wire, from the first."""
    buffer[2] = kind
    buffer[3] = life
    buffer[4] = sequence
    buffer[5] = length
    end = 6 + length
    pack_into("<I", buffer, end, crc32(memoryview(buffer)[2:end]))
    stuff(buffer, 1, end + 4)
    buffer[0] = buffer[end + 4] = 0
    return end + 5


def _plain(text: "Payload") -> str:
    """ASCII of bytes from the other side, fit for a log."""
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in text])


class Pipe:
    """One end of the line. Feed it with push(), write what next_bytes() gives. All its memory is taken here, once.

    listens: the gateway's end. state: see above; reason: why it is shut. peer: the device id of the OPEN.
    called: the gateway has said WHO while this end was shut. answered: our OPEN was heard.
    good, bad, resent: frames, since the start.
    """

    def __init__(self, listens: bool = False, window: int = WINDOW) -> None:
        self.listens = listens
        self.window = window
        self.state = SHUT
        self.life = 0
        self.peer = ""
        self.reason = ""
        self.called = False
        self.answered = False
        self.good = 0
        self.bad = 0
        self.resent = 0
        self.resend_ms = RESEND_MS
        self._mine = 0 if listens else FROM_BOARD
        self._due = 0  # a bit for each kind without sequence that is to be said
        self._frame = bytearray(WIRE_BYTES)  # of those
        self._hello = b""
        self._asked_ms = 0
        self._dead_life = 0  # what the CLOSE is about
        self._dead_why = ""
        self._rtt_ms = FIRST_RTT_MS
        self._out = [bytearray(WIRE_BYTES) for _ in range(window)]
        self._out_views = [memoryview(frame) for frame in self._out]
        self._lengths = bytearray(window)
        self._in = [bytearray(CODED_BYTES) for _ in range(window + 1)]  # one more: a full queue still hears an ACK
        self._in_views = [memoryview(frame) for frame in self._in]
        self._size = 0  # bytes of the frame that is coming in
        self._first = 0  # place of the oldest unread frame
        self._unread = 0
        self._begin(0)

    def _begin(self, life: int) -> None:
        """Everything as at the start of a life."""
        self.life = life
        self.reason = ""
        self._due = 0
        self._again = 0
        self._head = 0  # slot of the oldest frame that is not acknowledged
        self._tail = 0  # slot of the youngest
        self._base = 0  # sequence of the oldest
        self._used = 0  # slots in use
        self._sealed = 0  # of these, frames that have been on the wire
        self._sent = 0  # of these, since the last going back
        self._timed = -1  # sequence of the frame whose round trip is measured
        self._timed_ms = self._sent_ms = self._back_ms = self._heard_ms = 0
        self._ends = False  # END is to follow what is in the slots
        self._expected = 0
        self._fresh = True  # nothing of the stream has been sent or taken
        self._starved = False  # a frame was dropped for want of a place
        self._unread = 0
        self._offset = 0  # bytes read of the oldest unread frame

    # --- what its owner wants ---

    def open(self, life: int, device_id: str, now_ms: int) -> None:
        """Ask the gateway for a connection, as a board. `life` is not the one before. Then state is ASKING."""
        self._begin(life & 255)
        self.state = ASKING
        self.called = False
        self.answered = False
        self._hello = bytes([VERSION]) + device_id.encode()
        self._asked_ms = now_ms
        self._due = 1 << OPEN

    def call(self) -> None:
        """Ask whoever is there to OPEN, as a gateway that knows nobody."""
        self._due |= 1 << WHO

    def accept(self) -> None:
        """Answer OPEN with OPENED."""
        if self.state == ASKED:
            self.state = UP
            self._due |= 1 << OPENED

    def cut(self, reason: str) -> None:
        """Shut at once, whatever is under way, and say so once: also how an OPEN is refused."""
        if self.state != SHUT:
            self._disown(self.life, reason)
            self._shut(reason)

    def close(self, reason: str) -> None:
        """Shut once the other side has everything; until then state is ENDING, and next_bytes() must go on."""
        if self.state == UP:
            self.state = ENDING
            self.reason = reason
            self._ends = True
        else:
            self.cut(reason)

    @property
    def room(self) -> int:
        """Bytes that write() would accept now."""
        if self.state != UP:
            return 0
        open_bytes = PAYLOAD_BYTES - self._lengths[self._tail] if self._used > self._sealed else 0
        return (self.window - self._used) * PAYLOAD_BYTES + open_bytes

    @property
    def busy(self) -> bool:
        """Whether something waits to be sent or for its ACK, so that next_bytes() wants to be asked now and then."""
        return self._used > 0 or self._ends

    def write(self, payload: "Payload") -> int:
        """Take bytes to be sent: how many, 0 if there is no room or the pipe is not open."""
        view = memoryview(payload)
        taken = 0
        count = min(len(view), self.room)
        while taken < count:
            if self._used == self._sealed or self._lengths[self._tail] == PAYLOAD_BYTES:
                self._add_slot()
            taken += self._append(view[taken:count])
        return taken

    def _add_slot(self) -> None:
        self._tail = (self._head + self._used) % self.window
        self._lengths[self._tail] = 0
        self._used += 1

    def _append(self, view: memoryview) -> int:
        """Into the youngest frame, which was not yet on the wire."""
        length = self._lengths[self._tail]
        count = min(len(view), PAYLOAD_BYTES - length)
        start = 6 + length
        self._out_views[self._tail][start : start + count] = view[:count]
        self._lengths[self._tail] = length + count
        return count

    def readinto(self, buffer: "bytearray | memoryview") -> "int | None":
        """The next bytes that arrived: how many. None: nothing now. 0: the pipe is shut and everything was read."""
        if not self._unread:
            return 0 if self.state == SHUT else None
        length = self._in[self._first][4]
        start = 5 + self._offset
        count = min(len(buffer), length - self._offset)
        memoryview(buffer)[:count] = self._in_views[self._first][start : start + count]
        self._offset += count
        if self._offset == length:
            self._free_first()
        return count

    def _free_first(self) -> None:
        self._first = (self._first + 1) % len(self._in)
        self._unread -= 1
        self._offset = 0
        if self._starved:
            self._starved = False
            self._ask_again()

    # --- from the wire ---

    def push(self, data: "Readable", count: int, now_ms: int) -> None:
        """Take data[:count] as read from the wire. Whatever it is, it raises nothing and takes no memory."""
        view = memoryview(data)
        start = 0
        while start < count:
            zero = data.find(b"\0", start, count)
            end = count if zero < 0 else zero
            if start < end:
                self._keep(view[start:end])
            if end < count:
                self._end_of_frame(now_ms)
            start = end + 1

    def _keep(self, piece: memoryview) -> None:
        """More of a frame; one that is too long is not kept."""
        size = self._size + len(piece)
        if self._size < size <= CODED_BYTES:
            self._in_views[(self._first + self._unread) % len(self._in)][self._size : size] = piece
        self._size = min(size, CODED_BYTES + 1)

    def _end_of_frame(self, now_ms: int) -> None:
        size = self._size
        self._size = 0
        if not size:
            return  # two zeros in a row
        place = (self._first + self._unread) % len(self._in)
        frame = self._in[place]
        if not BARE_BYTES <= size <= CODED_BYTES or not unstuff(frame, size) or frame[4] != size - BARE_BYTES:
            self._drop()
        elif crc32(self._in_views[place][1:size]) != GOOD_CRC or frame[1] & FROM_BOARD == self._mine:
            self._drop()  # or an echo of our own
        else:
            self.good += 1
            self._receive(frame, now_ms)

    def _drop(self) -> None:
        """It may have been a frame."""
        self.bad += 1
        if self.state == UP and not self._starved:
            self._ask_again()

    def _ask_again(self) -> None:
        self._again = AGAIN
        self._due |= 1 << ACK

    def _receive(self, frame: bytearray, now_ms: int) -> None:
        kind = frame[1] & 15
        if kind == OPEN:
            self._on_open(frame)
        elif kind == WHO:
            self._on_who()
        elif kind == CLOSE:
            if frame[2] == self.life:
                self._on_close(_plain(memoryview(frame)[5 : 5 + frame[4]]))
        elif self.state == SHUT:
            if kind in (OPENED, DATA, END):
                self._disown(frame[2], "this life is not open here; open a new one")
        elif frame[2] == self.life:
            self._heard_ms = now_ms
            self._on_own(kind, frame, now_ms)

    def _on_own(self, kind: int, frame: bytearray, now_ms: int) -> None:
        """A frame of this life."""
        if self.state == ASKING:
            self.answered = True
            if kind == OPENED:
                self.state = UP
        elif self.state == ASKED:
            return  # only an OPEN counts
        elif kind == ACK:
            self._on_ack(frame, now_ms)
        elif kind in (DATA, END):
            self._on_sequenced(kind, frame)

    def _on_open(self, frame: bytearray) -> None:
        """A board begins, or begins anew, or has not yet heard our OPENED."""
        peer = _plain(memoryview(frame)[6 : 5 + frame[4]])
        if self.state in (ASKED, UP) and self._fresh and frame[2] == self.life and peer == self.peer:
            self._due |= 1 << (OPENED if self.state == UP else ACK)
        elif frame[4] and frame[5] == VERSION:
            self._begin(frame[2])
            self.peer = peer
            self.state = ASKED
            self._due = 1 << ACK
        else:
            why = "the gateway speaks version %d of the frames; install one release of Tegu on both" % VERSION
            self._disown(frame[2], why)

    def _on_who(self) -> None:
        if self.state == SHUT:
            self.called = True
        elif self.state == ASKING:
            self._due |= 1 << OPEN
        else:
            self._shut("the gateway was started again")

    def _on_close(self, reason: str) -> None:
        if self.state != SHUT:
            self._shut(self.reason or reason)  # ENDING has its own: the ACK of our END was lost

    def _shut(self, reason: str) -> None:
        """Over; what has arrived may still be read."""
        self.state = SHUT
        self.reason = reason
        self._used = self._sealed = self._sent = 0
        self._ends = False
        self._due &= (1 << ACK) | (1 << CLOSE) | (1 << WHO)

    def _disown(self, life: int, reason: str) -> None:
        self._dead_life = life
        self._dead_why = reason
        self._due |= 1 << CLOSE

    def _on_sequenced(self, kind: int, frame: bytearray) -> None:
        """DATA or END. One from the past has come twice; one from the future comes after a loss."""
        self._due |= 1 << ACK
        ahead = (frame[3] - self._expected) & 255
        if not ahead:
            self._take(kind, frame)
        elif ahead < 128 and not self._starved:
            self._again = AGAIN

    def _take(self, kind: int, frame: bytearray) -> None:
        if kind == DATA and frame[4] and self._unread == self.window:
            self._starved = True
            return
        self._expected = (self._expected + 1) & 255
        self._fresh = False
        if kind == END:
            self._shut(_plain(memoryview(frame)[5 : 5 + frame[4]]))
        elif frame[4]:
            self._unread += 1

    def _on_ack(self, frame: bytearray, now_ms: int) -> None:
        done = (frame[3] - self._base) & 255
        if done > self._sealed:
            return  # nothing that was sent
        if done:
            self._release(done, now_ms)
        if frame[1] & AGAIN and since_ms(now_ms, self._back_ms) >= self._rtt_ms // 2:
            self._go_back(now_ms)  # else it was said before what was sent again can have arrived
        if self.state == ENDING and not self._used and not self._ends:
            self._shut(self.reason)

    def _release(self, done: int, now_ms: int) -> None:
        """The oldest `done` frames have arrived."""
        if self._timed >= 0 and (self._timed - self._base) & 255 < done:
            trip_ms = since_ms(now_ms, self._timed_ms)
            self._rtt_ms += (trip_ms - self._rtt_ms) // 4
            self._timed = -1
        self.resend_ms = min(3 * self._rtt_ms + 100, LONGEST_RESEND_MS)
        self._base = (self._base + done) & 255
        self._head = (self._head + done) % self.window
        self._used -= done
        self._sealed -= done
        self._sent = max(0, self._sent - done)
        self._sent_ms = now_ms

    def _go_back(self, now_ms: int) -> None:
        self._sent = 0
        self._back_ms = now_ms
        self._timed = -1  # an ACK could be for the first sending or for the second

    # --- to the wire ---

    def next_bytes(self, now_ms: int) -> "memoryview | None":
        """The next frame; write it whole before the next call. None: nothing to write now."""
        if self.state == ASKING and since_ms(now_ms, self._asked_ms) >= REPEAT_MS:
            self._asked_ms = now_ms
            self._due |= 1 << OPEN
        if self._sealed:
            self._look_at_the_clock(now_ms)
        if self._due:
            return self._next_due()
        if self._ends and self._used < self.window:
            self._add_end()
        return self._next_slot(now_ms) if self._sent < self._used else None

    def _next_due(self) -> memoryview:
        """A frame without a place in the sequence; what ends a life goes first, what begins one after it."""
        for kind in (CLOSE, WHO, OPEN, OPENED, ACK):
            if self._due & (1 << kind):
                break
        self._due &= ~(1 << kind)
        life, sequence, payload = self.life, 0, b""
        if kind == CLOSE:
            life, payload = self._dead_life, self._dead_why.encode()[:PAYLOAD_BYTES]
        elif kind == OPEN:
            payload = self._hello
        elif kind == ACK:
            sequence = self._expected
            kind |= self._again
            self._again = 0
        self._frame[6 : 6 + len(payload)] = payload
        return memoryview(self._frame)[: seal(self._frame, kind | self._mine, life, sequence, len(payload))]

    def _look_at_the_clock(self, now_ms: int) -> None:
        """Go back, or give up, if the ACK that is waited for takes too long."""
        silent_ms = since_ms(now_ms, self._heard_ms)
        if silent_ms >= SILENT_MS:
            self.cut("no answer on the serial line for %d s" % (SILENT_MS // 1000))
            return
        waited_ms = since_ms(now_ms, self._sent_ms)
        if self._sent and waited_ms >= self.resend_ms:
            if silent_ms > waited_ms:  # it may have no time to listen
                self.resend_ms = min(2 * self.resend_ms, LONGEST_RESEND_MS)
            self._go_back(now_ms)

    def _add_end(self) -> None:
        self._ends = False
        self._add_slot()
        self._append(memoryview(self.reason.encode()))

    def _next_slot(self, now_ms: int) -> memoryview:
        slot = (self._head + self._sent) % self.window
        length = self._lengths[slot]
        if self._sent < self._sealed:
            self.resent += 1
        else:
            self._seal_slot(slot, now_ms)
        if not self._sent:
            self._sent_ms = now_ms
        self._sent += 1
        return self._out_views[slot][: length + AROUND_BYTES]

    def _seal_slot(self, slot: int, now_ms: int) -> None:
        sequence = (self._base + self._sent) & 255
        last = self.state == ENDING and slot == self._tail and not self._ends
        if not self._sealed:
            self._heard_ms = now_ms  # the other side had nothing to say until now
        if self._timed < 0:
            self._timed = sequence
            self._timed_ms = now_ms
        seal(self._out[slot], (END if last else DATA) | self._mine, self.life, sequence, self._lengths[slot])
        self._sealed += 1
        self._fresh = False
