"""A board's MQTT 3.1.1 client (OASIS standard of 29 October 2014; the numbers of its sections are in brackets).

Limits first. QoS 0 and 1 and a clean session, always [3.1.2.4]: what was in flight when a link is lost is forgotten, on
both sides. After ("connected",) the Session says anew what still matters, so nothing is lost unseen: the broker
acknowledges in time, or step() says ("lost", why). An acknowledgement says that the broker has a packet, no more.
At most `most_in_flight` packets wait for one; what comes beyond goes out later, in order. If more than MOST_WAITING
effects have to wait, the link is given up rather than one of them dropped.

Memory is bounded: one receive buffer, made once. A PUBLISH [3.3] that does not fit, or for which the heap has no room,
is thrown away as it comes, counted in `skipped`, and acknowledged, else the broker would stop after some of them.
(Its topic must fit: a board subscribes to topics that it knows.)

The broker is not trusted: bytes against the standard are an OSError inside, and so a lost link outside. The next link
is tried after a random wait, from 1 to 2 s at first up to 30 to 60 s, and at once that long if the broker refuses us
[3.2.2.3]. The waits begin anew once a connection has lasted STEADY_MS.
"""

from struct import pack

MOST_WAITING = 32  # effects that wait to go out; also buffers that wait to be written when we go on reading
MOST_READS = 64  # of one step
JOINED_BYTES = 256  # a payload up to this is copied behind its header: one write, one radio frame
FIRST_DELAY_MS, MOST_DELAY_MS, STEADY_MS = 2000, 60000, 10000
TICKS = 0x3FFFFFFF  # time.ticks_ms() starts anew after this, or after more

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0  # first bytes [2.2]
SIZES = {CONNACK: 2, PUBACK: 2, SUBACK: 3, UNSUBACK: 2, PINGRESP: 0}  # remaining lengths
PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"
PING_ID = 0  # stands for PINGREQ among the packet ids, which begin at 1
REFUSALS = (
    "it does not speak MQTT 3.1.1",
    "it does not allow this client id",
    "it is not available now",
    "bad user name or password",
    "not authorised: does it know this user name and password?",
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    Buffer = bytes | bytearray | memoryview
    Event = tuple[Any, ...]

    class Stream(Protocol):
        """Non-blocking. None: nothing now; readinto 0: the other side closed. OSError: it is broken."""

        def readinto(self, buffer: Any) -> int | None: ...
        def write(self, buffer: Any) -> int | None: ...
        def close(self) -> None: ...


def since(now_ms: int, then_ms: int) -> int:
    """Milliseconds from then to now, below zero if then is later, by a clock that wraps; right up to 6 days."""
    ahead = (now_ms - then_ms) & TICKS
    return ahead if ahead <= TICKS // 2 else ahead - TICKS - 1


def field(words: "str | bytes") -> bytes:
    """Text or bytes with their length in front [1.5.3]."""
    data = words.encode() if isinstance(words, str) else words
    return pack(">H", len(data)) + data


def packet(first: int, body: bytes, more: int = 0) -> bytes:
    """A fixed header [2.2] and body, which another `more` bytes will follow."""
    size = len(body) + more
    head = bytearray((first,))
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    head.append(size)
    return bytes(head) + body


class Radio:
    """The connection of one device. Its name is user name and client id; an empty password is none.

    open_link() makes a Stream or raises OSError; how long it blocks is its own affair. random() is in 0 <= x < 1.
    keepalive_s: 1 to 65,535. buffer_bytes: of the largest packet to receive.
    state: "waiting" for the next try, "refused" (waiting too, and `why` says what to mend), "connecting", "connected".
    """

    def __init__(
        self,
        open_link: "Callable[[], Stream]",
        name: str,
        password: str,
        random: "Callable[[], float]",
        keepalive_s: int = 30,
        buffer_bytes: int = 2048,
        most_in_flight: int = 8,
    ) -> None:
        self.open_link, self.name, self.password, self.random = open_link, name, password, random
        self.keepalive_s, self.most_in_flight = keepalive_s, most_in_flight
        self.will: "tuple[str, bytes] | None" = None  # (topic, payload), retained, QoS 1; read at each connect
        self.link: "Stream | None" = None  # for the shell to poll
        self.state, self.why, self.skipped = "waiting", "", 0
        self._buffer = bytearray(buffer_bytes)  # begins with a packet: _got bytes of it are there, _want are wanted
        self._view = memoryview(self._buffer)
        self._head = self._view[:2]  # made once, so that to look for a packet leaves no garbage
        self._got, self._want, self._body, self._size = 0, 2, 0, 0  # of its body: where it begins, its length
        self._drop = 0  # bytes still to come of a packet that does not fit
        self._pieces: "list[Buffer]" = []  # on their way out; of the first, _gone bytes are
        self._gone = 0
        self._waiting: "list[Event]" = []  # effects
        self._in_flight: "list[int]" = []  # packet ids, oldest first
        self._id = 0
        self._delay_ms, self._wait_ms = FIRST_DELAY_MS, 0
        self._now_ms = self._tried_ms = self._heard_ms = self._sent_ms = 0
        self._moved_ms = 0  # since then the same packet is the oldest in flight

    # --- for the shell ---

    def step(self, now_ms: int) -> "Event | None":
        """Go on without waiting: ("connected",), ("message", topic, payload), ("lost", why) or None.

        Call it again at once after an event, else every few dozen milliseconds, and never after half of keepalive or
        more. A try that fails is lost, too. now_ms: of time.ticks_ms().
        """
        self._now_ms = now_ms
        try:
            if self.link is None:
                if not self.retry_ms(now_ms):
                    self._open()
                return None
            self._send()
            event = self._receive()
            if event is None:
                self._check_time()
                self._send()  # what an acknowledgement has made room for
            return event
        except (OSError, MemoryError) as error:
            return self._lose("waiting", str(error) or "out of memory")

    def retry_ms(self, now_ms: int) -> int:
        """Milliseconds until the next try; 0 while there is a link."""
        if self.link is not None or not self._wait_ms:
            return 0
        return max(0, self._wait_ms - since(now_ms, self._tried_ms))

    def hurry(self) -> None:
        """Try at the next step: there is reason to think that it works now."""
        if self.link is None:
            self._wait_ms = 0

    @property
    def pending(self) -> int:
        """Effects that wait, packets without acknowledgement, and buffers not yet written."""
        return len(self._waiting) + len(self._in_flight) + len(self._pieces)

    def carry_out(self, effects: "Sequence[Event]") -> bool:
        """Take a Session's effects. False: they are dropped, for there is no connection."""
        if self.state != "connected":
            return False
        self._waiting.extend(effects)
        return True

    def leave(self, effects: "Sequence[Event]", clock: "Callable[[], int]", limit_ms: int) -> bool:
        """Carry out the last effects, then DISCONNECT [3.14], which takes the will away. Blocks up to limit_ms of clock().

        True: the broker has acknowledged all. False: the link is closed without DISCONNECT, so that the broker publishes
        the will. Messages that come meanwhile are dropped. The next step() connects anew, with the will as it is then.
        """
        began_ms = clock()
        self.carry_out(effects)
        while self.state == "connected" and self.pending and since(clock(), began_ms) < limit_ms:
            self.step(clock())
        done = self.state == "connected" and not self.pending
        if done:
            self._pieces.append(DISCONNECT)
        while done and self.link is not None and since(clock(), began_ms) < limit_ms:
            self.step(clock())  # until the broker has closed the link
        self._lose("waiting", "we left")
        self._wait_ms, self._delay_ms = 0, FIRST_DELAY_MS
        return done

    # --- the link ---

    def _open(self) -> None:
        self.link = self.open_link()
        self.state = "connecting"
        self._heard_ms = self._sent_ms = self._now_ms
        self._pieces.append(self._connect())

    def _lose(self, state: str, why: str) -> "Event":
        """Close the link and forget all that it carried."""
        link, self.link, self.state, self.why = self.link, None, state, why
        self._pieces, self._waiting, self._in_flight = [], [], []
        self._gone = self._drop = 0
        self._expect_packet()
        self._tried_ms = self._now_ms
        self._wait_ms = int(self._delay_ms * (1 + self.random()) / 2)
        self._delay_ms = min(2 * self._delay_ms, MOST_DELAY_MS)
        try:
            if link is not None:
                link.close()
        except OSError:
            pass  # gone either way
        return ("lost", why)

    def _check_time(self) -> None:
        """Nothing came just now. PINGREQ [3.12] if we said nothing for half of keepalive, or heard nothing for all of it.

        (What is sent with QoS 0 has no echo.) OSError after 1.5 of it without a byte, or with the same oldest packet.
        """
        half_ms = self.keepalive_s * 500
        silent_ms = since(self._now_ms, self._heard_ms)
        if silent_ms >= 3 * half_ms:
            raise OSError("the broker is silent")
        if self._in_flight and since(self._now_ms, self._moved_ms) >= 3 * half_ms:
            raise OSError("the broker does not acknowledge a packet")
        if self.state == "connected" and PING_ID not in self._in_flight:
            if silent_ms >= 2 * half_ms or since(self._now_ms, self._sent_ms) >= half_ms:
                self._fly(PING_ID)
                self._pieces.append(PINGREQ)
            if self._delay_ms > FIRST_DELAY_MS and since(self._now_ms, self._tried_ms) >= STEADY_MS:
                self._delay_ms = FIRST_DELAY_MS

    # --- out ---

    def _send(self) -> None:
        """Write what the link takes. A packet is begun when the one before is gone."""
        while self.link is not None:
            if not self._pieces and self._waiting and len(self._in_flight) < self.most_in_flight:
                self._begin(self._waiting.pop(0))
            if not self._pieces:
                break
            piece = self._pieces[0]
            count = self.link.write(memoryview(piece)[self._gone :] if self._gone else piece)
            if not count:
                break
            self._sent_ms = self._now_ms
            self._gone += count
            if self._gone == len(piece):
                self._pieces.pop(0)
                self._gone = 0
        if len(self._waiting) > MOST_WAITING:
            raise OSError("more than %d effects wait for the broker" % MOST_WAITING)

    def _begin(self, effect: "Event") -> None:
        """PUBLISH [3.3], SUBSCRIBE with QoS 1 [3.8] or UNSUBSCRIBE [3.10]."""
        topic = field(effect[1])
        if effect[0] == "subscribe":
            self._pieces.append(packet(0x82, self._new_id() + topic + b"\x01"))
        elif effect[0] == "unsubscribe":
            self._pieces.append(packet(0xA2, self._new_id() + topic))
        else:
            payload, qos, retain = effect[2:]
            first, head = PUBLISH | qos << 1 | retain, topic + self._new_id() if qos else topic
            if len(payload) <= JOINED_BYTES:
                self._pieces.append(packet(first, head + payload))
            else:
                self._pieces += (packet(first, head, len(payload)), payload)

    def _new_id(self) -> bytes:
        """1 to 65535, of none in flight [2.3.1]; it is then."""
        self._id = self._id % 65535 + 1
        while self._id in self._in_flight:
            self._id = self._id % 65535 + 1
        self._fly(self._id)
        return pack(">H", self._id)

    def _fly(self, number: int) -> None:
        if not self._in_flight:
            self._moved_ms = self._now_ms
        self._in_flight.append(number)

    def _land(self, number: int) -> None:
        """An acknowledgement; of nothing we know of, it is ignored."""
        if number in self._in_flight:
            if number == self._in_flight[0]:
                self._moved_ms = self._now_ms
            self._in_flight.remove(number)

    def _connect(self) -> bytes:
        """CONNECT [3.1]."""
        flags, will, password = 0x82, b"", b""  # user name, clean session
        if self.will is not None:
            flags |= 0x2C  # will, QoS 1, retained
            will = field(self.will[0]) + field(self.will[1])
        if self.password:
            flags |= 0x40
            password = field(self.password)
        name = field(self.name)
        return packet(0x10, b"\0\4MQTT" + pack(">BBH", 4, flags, self.keepalive_s) + name + will + name + password)

    # --- in ---

    def _receive(self) -> "Event | None":
        """The next event of what has come."""
        for _ in range(MOST_READS):
            if len(self._pieces) > MOST_WAITING or not self._read():
                break
            event = self._look() if self._got == self._want else None
            if event is not None:
                return event
        return None

    def _read(self) -> bool:
        """Read once, and not beyond what is wanted. Whether something came."""
        if self.link is None:
            return False
        if self._drop:
            count = self.link.readinto(self._view[: self._drop])
        else:
            count = self.link.readinto(self._view[self._got : self._want] if self._got else self._head)
        if count == 0:
            raise OSError("the other side closed the link")
        if count is None:
            return False
        self._heard_ms = self._now_ms
        if self._drop:
            self._drop -= count
        else:
            self._got += count
        return True

    def _expect_packet(self) -> None:
        self._got, self._want, self._body = 0, 2, 0

    def _look(self) -> "Event | None":
        """All that was wanted is there: act on it, or want more."""
        if not self._body:
            self._look_at_header()
            if self._got < self._want:
                return None
        if self._got < self._body + self._size:
            self._skip()
            return None
        event = self._take()
        self._expect_packet()
        return event

    def _look_at_header(self) -> None:
        """Know _body and _size, or want a byte more of the length [2.2.3]. OSError if no packet for us begins so."""
        first, size = self._buffer[0], 0
        if self._buffer[self._got - 1] > 127:
            self._want += 1
            if self._want > 5:
                raise OSError("a remaining length has five bytes [2.2.3]")
            return
        for at in range(1, self._got):
            size |= (self._buffer[at] & 127) << 7 * at - 7
        if SIZES.get(first) != size and (first & 0xF0 != PUBLISH or first & 6 > 2):
            raise OSError("a packet of type %d, flags %d and %d bytes is not for us" % (first >> 4, first & 15, size))
        if (first == CONNACK) != (self.state == "connecting"):
            raise OSError("CONNACK must be first and nowhere else [3.2]")
        self._body, self._size = self._got, size
        self._want += size if self._got + size <= len(self._buffer) else 2

    def _payload_at(self) -> int:
        """Where in the buffer the payload of a PUBLISH begins, behind topic and packet id [3.3.2]."""
        at = self._body + 2 + self._number(self._body) + (self._buffer[0] & 2)
        if at > self._body + self._size or at > len(self._buffer):
            raise OSError("the topic of a PUBLISH is too long [3.3.2]")
        return at

    def _skip(self) -> None:
        """A PUBLISH does not fit: want its topic and packet id; when they are there, drop what follows."""
        self._want = self._payload_at()
        if self._got == self._want:
            self._acknowledge(self._got)
            self.skipped += 1
            self._drop = self._body + self._size - self._got
            self._expect_packet()

    def _take(self) -> "Event | None":
        """The buffer holds a whole packet."""
        first, at = self._buffer[0], self._body
        if first & 0xF0 == PUBLISH:
            return self._message(self._payload_at())
        if first == CONNACK:
            return self._connected(self._buffer[at], self._buffer[at + 1])
        if first == SUBACK and self._buffer[at + 2] > 1:
            raise OSError("the broker refuses a subscription [3.9.3]")
        self._land(PING_ID if first == PINGRESP else self._number(at))
        return None

    def _connected(self, flags: int, code: int) -> "Event":
        if flags or code > len(REFUSALS):
            raise OSError("a CONNACK with flags %d and code %d [3.2.2]" % (flags, code))
        if code:
            self._delay_ms = MOST_DELAY_MS
            return self._lose("refused", "the broker refuses us: " + REFUSALS[code - 1])
        self.state, self.why = "connected", ""
        self._tried_ms = self._now_ms
        return ("connected",)

    def _message(self, payload_at: int) -> "Event | None":
        self._acknowledge(payload_at)
        topic_end = payload_at - (self._buffer[0] & 2)
        try:
            topic = str(self._view[self._body + 2 : topic_end], "utf-8")
            payload = bytes(self._view[payload_at : self._got])
        except MemoryError:
            self.skipped += 1
            return None
        except ValueError:
            raise OSError("a topic is not UTF-8 [1.5.3]")
        if not topic or "\0" in topic or "+" in topic or "#" in topic:
            raise OSError("a PUBLISH has a topic that none may have [4.7]")
        return ("message", topic, payload)

    def _acknowledge(self, payload_at: int) -> None:
        """PUBACK [3.4] for a PUBLISH of QoS 1, whose packet id is before the payload."""
        if self._buffer[0] & 2:
            number = self._number(payload_at - 2)
            if not number:
                raise OSError("a packet id is 0 [2.3.1]")
            self._pieces.append(pack(">BBH", PUBACK, 2, number))

    def _number(self, at: int) -> int:
        return self._buffer[at] << 8 | self._buffer[at + 1]
