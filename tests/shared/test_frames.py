"""Frames worked by hand, and two pipes that talk in memory; on both interpreters."""

import gc
from binascii import hexlify, unhexlify

from tegu.frames import (
    AROUND_BYTES,
    ASKED,
    ASKING,
    CODED_BYTES,
    ENDING,
    FIRST_RTT_MS,
    LONGEST_RESEND_MS,
    PAYLOAD_BYTES,
    REPEAT_MS,
    RESEND_MS,
    SHUT,
    SILENT_MS,
    UP,
    WINDOW,
    Pipe,
    seal,
    since_ms,
    stuff,
    unstuff,
)

# Without zeros, each code says how far the next zero is; the last one, how far the end.
STUFFED = (
    ("", "01"),
    ("00", "0101"),
    ("0000", "010101"),
    ("001100", "01021101"),
    ("11220033", "0311220233"),
    ("11223344", "0511223344"),
    ("11000000", "0211010101"),
    ("ff", "02ff"),
    ("0001ff", "010301ff"),
)

# (kind, life, sequence, payload) and all that goes onto the wire: zero, code, up to the next zero, and so on. The last
# four bytes before the zero at the end are the CRC, zlib's.
FRAMES = (
    (0x81, 7, 0, b"\1room-1", "00" + "038107" + "0d07" + "01726f6f6d2d31" + "c2ebb09c" + "00"),
    (2, 7, 0, b"", "00" + "030207" + "01" + "051201028e" + "00"),
    (0x84, 7, 3, b"", "00" + "04840703" + "0536bb1d6d" + "00"),
    (3, 255, 255, b"a\0b", "00" + "0603ffff0361" + "0662" + "2ea7387a" + "00"),
)


def test_stuffing_worked_by_hand():
    for plain, coded in STUFFED:
        buffer = bytearray(b"\x55\x55" + unhexlify(plain) + b"\x55")
        end = 2 + len(plain) // 2
        stuff(buffer, 1, end)
        assert hexlify(buffer).decode() == "55" + coded + "55", plain
        back = bytearray(unhexlify(coded))
        assert unstuff(back, len(back))
        assert hexlify(back).decode() == "00" + plain


def test_what_is_not_stuffed_is_refused():
    for coded in ("02", "0311", "00", "0111ff", "ff"):
        buffer = bytearray(unhexlify(coded))
        assert not unstuff(buffer, len(buffer)), coded


def test_the_longest_frame_has_one_code():
    # 253 bytes are stuffed at most; the header, 240 bytes of payload and the CRC are 248
    buffer = bytearray([1] * (PAYLOAD_BYTES + AROUND_BYTES))
    assert seal(buffer, 3, 1, 1, PAYLOAD_BYTES) == PAYLOAD_BYTES + AROUND_BYTES == 251
    assert buffer[0] == 0 and buffer[250] == 0 and buffer.find(b"\0", 1, 250) == -1


def test_frames_worked_by_hand():
    for kind, life, sequence, payload, wire in FRAMES:
        buffer = bytearray(251)
        buffer[6 : 6 + len(payload)] = payload
        count = seal(buffer, kind, life, sequence, len(payload))
        assert hexlify(buffer[:count]).decode() == wire, hexlify(buffer[:count])


def test_time_wraps_as_ticks_do():
    assert since_ms(5, 2) == 3
    assert since_ms(2, (1 << 30) - 3) == 5  # 32 bit
    assert since_ms(2, (1 << 62) - 3) == 5  # 64 bit


class Talk:
    """A board's pipe and a gateway's. A frame can be lost on the way; `frames` are those that were on the wire."""

    def __init__(self):
        self.board = Pipe()
        self.gateway = Pipe(listens=True)
        self.now_ms = 1000
        self.frames = []

    def move(self, sender, receiver, lose=()):
        """All that the sender has to say now. lose: which of these frames do not arrive."""
        at = 0
        while True:
            frame = sender.next_bytes(self.now_ms)
            if frame is None:
                return at
            self.frames.append(bytes(frame))
            if at not in lose:
                receiver.push(bytes(frame), len(frame), self.now_ms)
            at += 1

    def settle(self):
        while self.move(self.board, self.gateway) + self.move(self.gateway, self.board):
            pass

    def connect(self, life=1):
        self.board.open(life, "room-1", self.now_ms)
        self.settle()
        assert (self.gateway.state, self.gateway.peer) == (ASKED, "room-1")
        self.gateway.accept()
        self.settle()
        assert self.board.state == self.gateway.state == UP
        return self


def read(pipe):
    """All that can be read, or None or 0 as the pipe says."""
    buffer = bytearray(100)
    text = b""
    while True:
        count = pipe.readinto(buffer)
        if not count:
            return text or count
        text += bytes(buffer[:count])


def kinds(frames):
    return [frame[2] & 15 for frame in frames]


def test_a_board_connects_and_both_sides_talk():
    talk = Talk().connect()
    assert talk.board.write(b"hello") == 5 and talk.gateway.write(b"\0\0") == 2
    talk.settle()
    assert read(talk.gateway) == b"hello" and read(talk.board) == b"\0\0"
    assert read(talk.gateway) is None and read(talk.board) is None
    assert (talk.gateway.bad, talk.board.bad, talk.board.resent) == (0, 0, 0)


def test_small_writes_share_a_frame_and_the_window_bounds_what_is_taken():
    talk = Talk().connect()
    room = WINDOW * PAYLOAD_BYTES
    assert talk.board.room == room
    assert talk.board.write(b"a") == 1 and talk.board.write(b"b") == 1
    assert talk.board.room == room - 2
    assert talk.board.write(bytes(5000)) == room - 2 and talk.board.write(b"c") == 0
    assert talk.move(talk.board, talk.gateway) == WINDOW
    talk.settle()
    assert read(talk.gateway) == b"ab" + bytes(room - 2)


def test_a_lost_frame_is_asked_for_at_once():
    talk = Talk().connect()
    talk.board.write(bytes(2 * PAYLOAD_BYTES) + b"end")
    assert talk.move(talk.board, talk.gateway, lose=(0,)) == 3
    talk.settle()  # time stands still
    assert read(talk.gateway) == bytes(2 * PAYLOAD_BYTES) + b"end"
    assert talk.board.resent == 3


def test_a_frame_that_is_lost_twice_is_asked_for_twice():
    talk = Talk().connect()
    talk.board.write(bytes(PAYLOAD_BYTES) + b"end")
    for _ in range(2):
        talk.move(talk.board, talk.gateway, lose=(0,))
        talk.now_ms += FIRST_RTT_MS // 2  # an earlier call would be from before the second sending
        talk.move(talk.gateway, talk.board)
    talk.settle()
    assert read(talk.gateway) == bytes(PAYLOAD_BYTES) + b"end"


def test_frames_that_came_behind_a_lost_one_bring_it_once():
    talk = Talk().connect()
    talk.board.write(bytes(PAYLOAD_BYTES) * 2 + b"end")
    frames = [bytes(talk.board.next_bytes(talk.now_ms)) for _ in range(3)]
    again = []
    for frame in frames[1:]:
        talk.gateway.push(frame, len(frame), talk.now_ms)
        assert talk.move(talk.gateway, talk.board) == 1
        again.append(talk.move(talk.board, Pipe(listens=True)))  # on their way
    assert again == [3, 0]


def test_what_is_of_another_life_or_was_never_sent_is_ignored():
    talk = Talk().connect(life=1)
    talk.board.write(b"hello")
    talk.move(talk.board, talk.gateway, lose=(0,))
    for life, sequence in ((2, 1), (1, 200)):
        buffer = bytearray(AROUND_BYTES)
        talk.board.push(buffer, seal(buffer, 4, life, sequence, 0), talk.now_ms)
    assert talk.board.busy and talk.board.good == 4
    buffer = bytearray(b"......foreign....." + bytes(1))
    talk.gateway.push(buffer, seal(buffer, 0x83, 2, 0, 7), talk.now_ms)
    assert read(talk.gateway) is None
    talk.now_ms += RESEND_MS
    talk.settle()
    assert read(talk.gateway) == b"hello"


def test_without_an_ack_frames_are_sent_again_later_and_later():
    talk = Talk().connect()
    talk.board.write(b"hello")
    start_ms, waits = talk.now_ms, []
    while talk.now_ms < start_ms + 10000:
        if talk.move(talk.board, talk.gateway, lose=(0,)):
            waits.append(talk.now_ms - start_ms)
        talk.now_ms += 10
    assert waits == [RESEND_MS * times for times in (0, 1, 2, 4, 8, 16)]
    talk.now_ms += LONGEST_RESEND_MS
    talk.settle()
    assert read(talk.gateway) == b"hello" and talk.board.resent == 6


def test_the_time_until_a_resend_follows_the_round_trips():
    talk = Talk().connect()
    for _ in range(40):
        talk.board.write(b"x")
        talk.move(talk.board, talk.gateway)
        talk.now_ms += 80
        talk.settle()
        read(talk.gateway)
    assert talk.board.resend_ms == 3 * 80 + 100


def test_a_lost_ack_brings_nothing_twice():
    talk = Talk().connect()
    talk.board.write(b"hello")
    talk.move(talk.board, talk.gateway)
    talk.move(talk.gateway, talk.board, lose=(0,))
    talk.now_ms += RESEND_MS
    talk.settle()
    assert read(talk.gateway) == b"hello" and not talk.board.busy


def test_who_does_not_read_gets_nothing_lost_and_nothing_in_vain_when_it_reads_again():
    talk = Talk().connect()
    sent = bytes(range(256)) * 12
    given = talk.gateway.write(sent)
    talk.settle()
    given += talk.gateway.write(sent[given:])
    talk.settle()  # the board's queue is full, and so is the gateway's window
    assert given == 2 * WINDOW * PAYLOAD_BYTES
    got, start_ms = b"", talk.now_ms
    while len(got) < len(sent):
        got += read(talk.board) or b""
        talk.now_ms += FIRST_RTT_MS // 2
        talk.settle()  # reading asks for what had no place
        given += talk.gateway.write(sent[given:])
        talk.settle()
    assert got == sent and talk.now_ms < start_ms + RESEND_MS


def test_the_end_comes_after_all_that_was_written():
    talk = Talk().connect()
    talk.board.write(bytes(5000))
    talk.board.close("good night")
    assert talk.board.state == ENDING and talk.board.write(b"more") == 0
    talk.settle()
    assert talk.board.state == SHUT and talk.gateway.state == SHUT
    assert read(talk.gateway) == bytes(WINDOW * PAYLOAD_BYTES) and read(talk.gateway) == 0
    assert talk.gateway.reason == talk.board.reason == "good night"


def test_a_lost_ack_of_the_end_ends_all_the_same():
    talk = Talk().connect()
    talk.board.close("good night")
    talk.move(talk.board, talk.gateway)
    talk.move(talk.gateway, talk.board, lose=(0,))
    assert (talk.board.state, talk.gateway.state) == (ENDING, SHUT)
    talk.now_ms += RESEND_MS
    talk.settle()
    assert talk.board.state == SHUT and talk.board.reason == "good night"


def test_a_gateway_that_was_started_again_closes_what_it_does_not_know():
    talk = Talk().connect()
    talk.gateway = Pipe(listens=True)
    talk.board.write(b"hello")
    talk.settle()
    assert talk.board.state == SHUT and "not open here" in talk.board.reason
    assert read(talk.board) == 0


def test_a_gateway_that_was_started_again_calls():
    talk = Talk().connect()
    talk.gateway = Pipe(listens=True)
    talk.gateway.call()
    talk.settle()
    assert talk.board.state == SHUT and "started again" in talk.board.reason
    talk.gateway.call()
    talk.settle()
    assert talk.board.called
    talk.connect(life=2)
    assert not talk.board.called


def test_a_board_asks_again_until_it_is_answered():
    talk = Talk()
    talk.board.open(9, "room-1", talk.now_ms)
    assert talk.move(talk.board, talk.gateway, lose=(0,)) == 1
    talk.now_ms += REPEAT_MS - 1
    assert talk.move(talk.board, talk.gateway) == 0 and talk.gateway.state == SHUT
    talk.now_ms += 1
    assert talk.move(talk.board, talk.gateway) == 1 and talk.gateway.state == ASKED
    assert talk.move(talk.gateway, talk.board) == 1 and talk.board.answered and talk.board.state == ASKING
    talk.gateway.call()
    talk.move(talk.gateway, talk.board)  # and at once when it is called
    assert talk.move(talk.board, talk.gateway) == 1
    assert kinds(talk.frames) == [1, 1, 4, 7, 1]


def test_a_lost_answer_is_given_again_and_begins_nothing_anew():
    talk = Talk()
    talk.board.open(9, "room-1", talk.now_ms)
    talk.settle()
    talk.gateway.accept()
    talk.move(talk.gateway, talk.board, lose=(0,))
    talk.now_ms += REPEAT_MS
    talk.settle()
    assert talk.board.state == talk.gateway.state == UP


def test_a_board_that_was_reset_begins_anew_even_with_the_same_life():
    talk = Talk().connect(life=5)
    for _ in range(256):  # so that the next sequence is 0 again
        talk.board.write(b"hello")
        talk.gateway.write(b"old")
        talk.settle()
        read(talk.gateway)
        read(talk.board)
    talk.board = Pipe()
    talk.board.open(5, "room-1", talk.now_ms)
    talk.settle()
    assert talk.gateway.state == ASKED
    talk.gateway.accept()
    talk.board.write(b"too early")
    talk.settle()
    talk.board.write(b"new")
    talk.settle()
    assert read(talk.gateway) == b"new" and read(talk.board) is None


def test_a_refusal_says_why():
    talk = Talk()
    talk.board.open(1, "room-1", talk.now_ms)
    talk.settle()
    talk.gateway.cut("room-1 is there already")
    talk.settle()
    assert talk.board.state == SHUT and talk.board.reason == "room-1 is there already"


def test_another_version_is_refused():
    talk = Talk()
    talk.board.open(1, "room-1", talk.now_ms)
    talk.board._hello = b"\2room-1"
    talk.settle()
    assert talk.gateway.state == SHUT and "version 1" in talk.board.reason


def test_what_a_console_prints_between_frames_does_no_harm():
    talk = Talk().connect()
    talk.board.write(b"hello")
    for text in (b"Traceback (most recent call last):\r\n", b"x" * 3000, b"\0\0\0", bytes(range(1, 256))):
        talk.gateway.push(text, len(text), talk.now_ms)
    talk.settle()
    assert read(talk.gateway) == b"hello"


def test_half_a_frame_harms_no_other():
    talk = Talk().connect()
    talk.board.write(b"hello")
    frame = bytes(talk.board.next_bytes(talk.now_ms))
    talk.gateway.push(frame, 9, talk.now_ms)
    talk.now_ms += RESEND_MS
    talk.settle()
    assert read(talk.gateway) == b"hello" and talk.gateway.bad == 1


def test_an_echo_is_not_taken_for_an_answer():
    board = Pipe()
    board.open(1, "room-1", 0)
    frame = bytes(board.next_bytes(0))
    board.push(frame, len(frame), 0)
    assert board.state == ASKING and board.bad == 1 and board.good == 0


def test_silence_ends_what_waits_for_an_ack_and_nothing_else():
    talk = Talk().connect()
    talk.now_ms += 10 * SILENT_MS  # there was nothing to say
    talk.settle()
    talk.board.write(b"hello")
    talk.move(talk.board, talk.gateway, lose=(0,))
    talk.now_ms += SILENT_MS - 1
    talk.move(talk.board, talk.gateway, lose=(0,))
    assert talk.board.state == UP
    talk.now_ms += 1
    talk.settle()
    assert talk.board.state == SHUT and "no answer" in talk.board.reason and talk.gateway.state == SHUT


def test_sequences_go_on_beyond_a_byte():
    talk = Talk().connect()
    for at in range(600):
        talk.board.write(b"%d " % at)
        talk.settle()
        assert read(talk.gateway) == b"%d " % at


def test_a_frame_leaves_little_garbage_and_keeps_nothing():
    if not hasattr(gc, "mem_alloc"):
        return
    talk = Talk().connect()
    data, buffer = bytes(PAYLOAD_BYTES), bytearray(300)
    wire = bytearray(CODED_BYTES + 2)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(100):
        talk.board.write(data)
        for sender, receiver in ((talk.board, talk.gateway), (talk.gateway, talk.board)):
            frame = sender.next_bytes(0)
            count = len(frame)
            wire[:count] = frame
            receiver.push(wire, count, 0)
        talk.gateway.readinto(buffer)
    garbage = (gc.mem_alloc() - before) // 100  # for a DATA and its ACK, at both ends
    gc.enable()
    gc.collect()
    print("garbage of a frame and its ACK, both ends:", garbage, "bytes")
    assert garbage < 900
    assert gc.mem_alloc() - before < 100
