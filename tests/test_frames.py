"""Pipes over lines that are as slow, late and bad as real ones. Hand-worked frames: tests/shared/test_frames.py."""

import random
import time
import tracemalloc
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tegu.frames import (
    DATA,
    FROM_BOARD,
    PAYLOAD_BYTES,
    UP,
    WINDOW,
    WIRE_BYTES,
    Pipe,
    seal,
)

Noise = Callable[[bytes], bytes]
BYTES_PER_S = 11520  # 115,200 baud, with start and stop bit
USB_MS = 16
MOST_PER_S = BYTES_PER_S * PAYLOAD_BYTES / WIRE_BYTES


def quiet(data: bytes) -> bytes:
    return data


class Errors:
    """Flips bits, drops bytes and brings bytes twice, each with its own probability."""

    def __init__(self, seed: int, flips_per_bit: float, drops: float, twice: float) -> None:
        self.dice = random.Random(seed)
        self.rates = ((flips_per_bit, 8), (drops, 1), (twice, 1))
        self.left = [self._distance(rate) for rate, _ in self.rates]
        self.damaged = 0  # frames

    def _distance(self, rate: float) -> float:
        """How many bits or bytes go well before the next error."""
        return self.dice.expovariate(rate) if rate else float("inf")

    def __call__(self, data: bytes) -> bytes:
        out = bytearray(data)
        for at, (rate, parts) in enumerate(self.rates):
            while self.left[at] < len(out) * parts:
                self._hit(out, at, int(self.left[at]))
                self.left[at] += 1 + self._distance(rate)
            self.left[at] -= len(out) * parts
        self.damaged += out != data
        return bytes(out)

    def _hit(self, out: bytearray, what: int, where: int) -> None:
        if what == 0:
            out[where >> 3] ^= 1 << (where & 7)
        elif what == 1:
            del out[where]
        else:
            out.insert(where, out[where])


def connected(window: int = WINDOW) -> tuple[Pipe, Pipe]:
    board, gateway = Pipe(window=window), Pipe(listens=True, window=window)
    board.open(1, "room-1", 0)
    carry(board, gateway, 0)
    gateway.accept()
    carry(gateway, board, 0)
    assert board.state == gateway.state == UP
    return board, gateway


def carry(sender: Pipe, receiver: Pipe, now_ms: int, noise: Noise = quiet) -> int:
    """All that the sender has to say; how many frames."""
    count = 0
    while (frame := sender.next_bytes(now_ms)) is not None:
        data = noise(bytes(frame))
        receiver.push(data, len(data), now_ms)
        count += 1
    return count


def read(pipe: Pipe) -> bytes:
    buffer = bytearray(PAYLOAD_BYTES)
    count = pipe.readinto(buffer)
    return bytes(buffer[:count]) if count else b""


class Transfer:
    """Bytes on their way from one pipe to the other, written in pieces of any size."""

    def __init__(self, source: Pipe, sink: Pipe, pieces: list[bytes]) -> None:
        self.source, self.sink = source, sink
        self.todo = deque(pieces)
        self.sent, self.got = bytearray(), bytearray()

    def feed(self) -> None:
        while self.todo and self.source.room >= len(self.todo[0]):
            piece = self.todo.popleft()
            assert self.source.write(piece) == len(piece)
            self.sent += piece

    def drain(self) -> None:
        while data := read(self.sink):
            self.got += data
        assert self.sent.startswith(self.got[-PAYLOAD_BYTES * WINDOW :], max(0, len(self.got) - PAYLOAD_BYTES * WINDOW))

    @property
    def done(self) -> bool:
        return not self.todo and len(self.got) == len(self.sent) and not self.source.busy


def pieces_of(seed: int, count: int) -> list[bytes]:
    """Of 1 to 240 bytes, all values, zeros often."""
    dice = random.Random(seed)
    return [dice.randbytes(dice.randint(1, PAYLOAD_BYTES)).replace(b"\x07", b"\0") for _ in range(count)]


def test_20000_frames_over_a_bad_line_arrive_in_order_exactly_once() -> None:
    """Both directions at once. One bit in a thousand is flipped, one byte in 2,000 lost, one in 2,000 comes twice."""
    board, gateway = connected()
    up, down = Errors(1, 1e-3, 5e-4, 5e-4), Errors(2, 1e-3, 5e-4, 5e-4)
    transfers = (Transfer(board, gateway, pieces_of(3, 12000)), Transfer(gateway, board, pieces_of(4, 12000)))
    now_ms = frames = 0
    while not all(transfer.done for transfer in transfers):
        for transfer in transfers:
            transfer.feed()
        frames += carry(board, gateway, now_ms, up) + carry(gateway, board, now_ms + 30, down)
        for transfer in transfers:
            transfer.drain()
        now_ms += 60
        assert now_ms < 9_000_000
    for transfer in transfers:
        assert transfer.got == transfer.sent
    assert frames > 20000 and up.damaged + down.damaged > 20000


def test_a_frame_that_is_whole_is_never_missed_whatever_lies_before_it() -> None:
    """So the line is in step again with the first frame after a damage: 2,000 whole ones behind as many damaged."""
    damage, dice = Errors(5, 1e-2, 2e-3, 2e-3), random.Random(6)
    _, gateway = connected()
    missed = whole = 0
    for _ in range(2000):
        bad = damage(frame_of(dice.randbytes(dice.randint(0, PAYLOAD_BYTES)), dice.randrange(256)))
        if dice.random() < 0.5:
            bad = bad[: dice.randrange(len(bad) + 1)]
        good = frame_of(b"", 99)  # an ACK from nowhere
        before = gateway.good
        gateway.push(bad, len(bad), 0)
        middle = gateway.good
        gateway.push(good, len(good), 0)
        whole += middle == before
        missed += gateway.good == middle
    assert (missed, whole > 1900) == (0, True)


def frame_of(payload: bytes, life: int, kind: int = DATA | FROM_BOARD, sequence: int = 0) -> bytes:
    buffer = bytearray(WIRE_BYTES)
    buffer[6 : 6 + len(payload)] = payload
    return bytes(buffer[: seal(buffer, kind, life, sequence, len(payload))])


class Wire:
    """One direction of a serial line at 115,200 baud. Bytes come one by one, or all that are there every late_ms."""

    def __init__(self, late_ms: int = 0, kept: int = 4096) -> None:
        self.late_ms, self.kept = late_ms, kept
        self.free_ms = 0.0
        self.bytes: deque[tuple[float, int]] = deque()

    def put(self, data: bytes, now_ms: int) -> None:
        at_ms = max(self.free_ms, now_ms)
        for byte in data:
            at_ms += 1000 / BYTES_PER_S
            self.bytes.append((at_ms if not self.late_ms else (at_ms // self.late_ms + 1) * self.late_ms, byte))
        self.free_ms = at_ms

    def get(self, now_ms: int) -> bytes:
        """What has come since the last look; of more than the receiver keeps, the rest is lost."""
        out = bytearray()
        while self.bytes and self.bytes[0][0] <= now_ms:
            out.append(self.bytes.popleft()[1])
        return bytes(out[: self.kept])


def speed_to_the_board(window: int, look_ms: int, kept: int = 4096) -> float:
    """Bytes of payload a second, over 10 s. The board looks every look_ms, its UART keeps so many bytes in between."""
    board, gateway = connected(window)
    down, up = Wire(kept=kept), Wire(late_ms=USB_MS)
    got = 0
    for now_ms in range(10_000):
        gateway.write(bytes(PAYLOAD_BYTES))
        data = up.get(now_ms)
        gateway.push(data, len(data), now_ms)
        while down.free_ms - now_ms < 300 and (frame := gateway.next_bytes(now_ms)) is not None:
            down.put(bytes(frame), now_ms)
        if now_ms % look_ms == 0:
            data = down.get(now_ms)
            board.push(data, len(data), now_ms)
            while count := len(read(board)):
                got += count
            while (frame := board.next_bytes(now_ms)) is not None:
                up.put(bytes(frame), now_ms)
    return got / 10


@pytest.mark.parametrize(
    ("look_ms", "speeds"),
    [(5, (7490, 10990, 10990, 10990)), (30, (5020, 9000, 10990, 10990)), (100, (2380, 4750, 7130, 8900))],
)
def test_three_frames_under_way_fill_the_line_to_a_board_that_looks_every_30_ms(
    look_ms: int, speeds: tuple[float, ...]
) -> None:
    measured = [speed_to_the_board(window, look_ms) for window in (1, 2, 3, 4)]
    assert measured == pytest.approx(speeds, rel=0.02)
    assert max(measured) <= MOST_PER_S


def test_frames_under_way_must_find_a_place_in_the_uart() -> None:
    measured = [speed_to_the_board(WINDOW, 100, kept) for kept in (256, 512, 1024)]
    assert measured == pytest.approx([1200, 2400, 7130], rel=0.02)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=600)), max_size=20))
def test_whatever_comes_raises_nothing(pieces: list[tuple[bool, bytes]]) -> None:
    """Raw bytes, and frames of any kind with any payload and a right CRC."""
    for pipe in connected():
        for at, (framed, data) in enumerate(pieces):
            if framed and data:
                kind = data[0] ^ pipe._mine
                data = frame_of(data[3:243], *((1, kind, data[2]) if len(data) > 2 else (0, kind, 0)))
            pipe.push(data, len(data), at * 1000)
            pipe.accept()
            pipe.write(data)
            pipe.next_bytes(at * 1000)
            read(pipe)
            assert len(pipe.reason) <= PAYLOAD_BYTES and len(pipe.peer) <= PAYLOAD_BYTES


def test_noise_takes_no_memory() -> None:
    board, gateway = connected()
    dice = random.Random(7)
    noise = [dice.randbytes(4000) for _ in range(50)]
    frames = [
        frame_of(dice.randbytes(100), 1, kind | FROM_BOARD, sequence) for kind in range(16) for sequence in range(9)
    ]
    tracemalloc.start()
    try:
        for data in noise + frames:
            gateway.push(data, len(data), 0)
            board.push(data, len(data), 0)
        assert tracemalloc.get_traced_memory()[0] < 4000
    finally:
        tracemalloc.stop()


def test_a_line_faster_than_the_frames_is_no_limit() -> None:
    """How fast CPython is with frames, both ends together: at least ten lines of 115,200 baud."""
    board, gateway = connected()
    block = random.Random(8).randbytes(PAYLOAD_BYTES)
    start_s, got = time.process_time(), 0
    while (spent_s := time.process_time() - start_s) < 0.3:
        board.write(block)
        carry(board, gateway, 0)
        got += len(read(gateway))
        carry(gateway, board, 0)
    assert got / spent_s > 10 * BYTES_PER_S
