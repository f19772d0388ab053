"""The radio byte by byte, and by a clock of the tests' own: each function is a test, run by both interpreters.

The bytes are worked out by hand from OASIS MQTT 3.1.1. Its broker is a Tape; the tests against a real one are elsewhere.
"""

import sys

HERE = sys.argv[0].rsplit("/", 1)[0]
sys.path.insert(0, HERE + "/../../mcu_firmware")

from radio import Radio, since  # noqa: E402

CONNACK = b"\x20\x02\x00\x00"
CONNECT = b"\x10\x1e\x00\x04MQTT\x04\xc2\x00\x1e\x00\x06room-1\x00\x06room-1\x00\x02pw"
HALF_MS, LIMIT_MS = 15000, 45000  # of a keepalive of 30 s


class Tape:
    """A link whose other side says what stands in `said`, at most `most` bytes at a time; it hears into `heard`.

    With most=1 there is nothing to read and no room to write every second time.
    """

    def __init__(self, said=b"", most=1000000):
        self.said, self.heard, self.most = said, bytearray(), most
        self.closed = self.ended = False
        self.calls = 0

    def count(self, size):
        self.calls += 1
        return None if self.most == 1 and self.calls % 2 else min(size, self.most)

    def readinto(self, buffer):
        if not self.said:
            return 0 if self.ended else None
        count = self.count(min(len(buffer), len(self.said)))
        if count:
            buffer[:count] = self.said[:count]
            self.said = self.said[count:]
        return count

    def write(self, buffer):
        count = self.count(len(buffer))
        if count:
            self.heard.extend(bytes(buffer)[:count])
        return count

    def close(self):
        self.closed = True

    def new(self):
        """What it has heard since the last call."""
        heard, self.heard = bytes(self.heard), bytearray()
        return heard


def make(tape, **options):
    return Radio(lambda: tape, "room-1", "pw", lambda: 0.0, **options)


def connected(tape, now_ms=0, **options):
    """A radio that has just had its CONNACK."""
    radio = make(tape, **options)
    tape.said = CONNACK
    events = steps(radio, now_ms, 30)
    assert events == [("connected",)], events
    assert tape.new() == CONNECT
    return radio


def steps(radio, now_ms, count=4):
    """The events of some steps."""
    return [event for event in (radio.step(now_ms) for _ in range(count)) if event is not None]


def puback(number):
    return bytes((0x40, 2, number >> 8, number & 255))


def publish(*payloads, qos=1):
    return [("publish", "t", payload, qos, False) for payload in payloads]


def test_every_packet_is_as_the_standard_has_it():
    for most in (1, 3, 1000):
        tape = Tape(most=most)
        radio = make(tape)
        radio.will = ("w", b"lost")
        steps(radio, 0, 200)
        expected = b"\x10\x27\x00\x04MQTT\x04\xee\x00\x1e\x00\x06room-1\x00\x01w\x00\x04lost\x00\x06room-1\x00\x02pw"
        assert tape.new() == expected, expected
        tape.said = CONNACK
        assert steps(radio, 0, 9) == [("connected",)]
        radio.carry_out([("publish", "t", b"x", 0, False), ("publish", "t", b"x", 1, True)])
        radio.carry_out([("subscribe", "t"), ("unsubscribe", "t"), ("publish", "t", bytes(300), 0, True)])
        steps(radio, 0, 1000)
        assert tape.new() == (
            b"\x30\x04\x00\x01tx"
            b"\x33\x06\x00\x01t\x00\x01x"
            b"\x82\x06\x00\x02\x00\x01t\x01"
            b"\xa2\x05\x00\x03\x00\x01t"
            b"\x31\xaf\x02\x00\x01t" + bytes(300)
        )
        tape.said = puback(1) + b"\x90\x03\x00\x02\x01\xb0\x02\x00\x03"
        steps(radio, 0, 100)
        assert radio.pending == 0
        steps(radio, HALF_MS, 10)
        assert tape.new() == b"\xc0\x00"


def test_what_comes_is_put_together_however_it_is_cut():
    stream = (
        b"\x30\x05\x00\x01tab"
        b"\x32\x06\x00\x02tt\x12\x34"
        b"\xd0\x00"
        b"\x3b\x86\x00\x00\x01t\xff\xffz"  # DUP, retained, and a length of two bytes that could be one
        b"\x30\x90\x4e\x00\x01t" + bytes(9997) + b"\x32\x91\xce\x00\x00\x01t\x00\x07" + bytes(9996)
    )
    expected = [("message", "t", b"ab"), ("message", "tt", b""), ("message", "t", b"z")]
    for most in (1, 7, 64, 100000):
        tape = Tape(most=most)
        radio = connected(tape, buffer_bytes=64)
        tape.said = stream + b"\x30\x04\x00\x01t!"
        events = []
        while tape.said:
            events += steps(radio, 0)
        assert events + steps(radio, 0, 9) == expected + [("message", "t", b"!")], events  # noqa: RUF005
        assert radio.skipped == 2
        assert tape.new() == puback(0x1234) + puback(0xFFFF) + puback(7)


def test_bytes_against_the_standard_lose_the_link_and_the_next_one_works():
    for why, streams in (
        ("CONNACK must be first", (CONNACK,)),
        ("a remaining length has five bytes", (b"\x30\xff\xff\xff\xff\x00", b"\xff\xff\xff\xff\xff")),
        ("a packet of type 3, flags 4", (b"\x34\x09\x00\x01t\x00\x01text",)),  # QoS 2, which nobody subscribed to
        ("a packet of type 3, flags 6", (b"\x36\x09\x00\x01t\x00\x01text",)),  # QoS 3
        ("a topic is not UTF-8", (b"\x30\x04\x00\x01\xffx",)),
        ("a PUBLISH has a topic that none may have", (b"\x30\x05\x00\x02t\x00x", b"\x30\x05\x00\x02t#x")),
        ("a PUBLISH has a topic that none may have", (b"\x30\x05\x00\x02+/x", b"\x30\x03\x00\x00x")),
        ("the topic of a PUBLISH is too long", (b"\x30\x04\x00\x09tx", b"\x30\x00", b"\x32\x02\x00\x00")),
        ("the topic of a PUBLISH is too long", (b"\x30\xf4\x03\x00\xf0t" + bytes(500),)),  # for the buffer
        ("a packet id is 0", (b"\x32\x06\x00\x01t\x00\x00x", b"\x32\xf4\x03\x00\x01t\x00\x00" + bytes(500))),
        ("a packet of type 4, flags 1 and 2 bytes", (b"\x41\x02\x00\x01",)),
        ("a packet of type 4, flags 0 and 3 bytes", (b"\x40\x03\x00\x01\x00",)),
        ("the broker refuses a subscription", (b"\x90\x03\x00\x01\x80", b"\x90\x03\x00\x01\x02")),
        ("a packet of type 9", (b"\x90\x02\x00\x01",)),
        ("a packet of type 13", (b"\xd0\x01\x00",)),
        ("a packet of type ", (b"\x10\x00", b"\xe0\x00", b"\x00\x00", b"\xf0\x00")),
    ):
        for stream in streams:
            tape = Tape()
            radio = connected(tape, buffer_bytes=64)
            tape.said = stream
            (event,) = steps(radio, 0, 1)
            assert event[0] == "lost" and event[1].startswith(why), (stream, event)
            assert radio.state == "waiting" and tape.closed and event[1] == radio.why
            tape.said = CONNACK + b"\x30\x04\x00\x01tx"
            assert steps(radio, 1000) == [("connected",), ("message", "t", b"x")], stream


def test_a_topic_longer_than_its_packet_gets_no_bytes_of_the_packet_before():
    tape = Tape()
    radio = connected(tape)
    tape.said = b"\x30\x0c\x00\x0asecretpart" + b"\x30\x04\x00\x09tx"
    message, lost = steps(radio, 0, 2)
    assert message == ("message", "secretpart", b"") and lost[0] == "lost"


def test_no_memory_for_a_link_is_a_lost_link():
    def open_link():
        raise MemoryError

    radio = Radio(open_link, "room-1", "pw", lambda: 0.0)
    assert radio.step(0) == ("lost", "out of memory")


def test_a_short_payload_is_written_with_its_header_and_a_long_one_not_copied():
    written = []
    tape = Tape()
    radio = connected(tape)
    tape.write = lambda buffer: written.append(buffer) or len(buffer)
    long = bytes(257)
    radio.carry_out(publish(bytes(256), long, qos=0))
    steps(radio, 0)
    assert [len(each) for each in written] == [6 + 256, 6, 257] and written[2] is long


def test_an_answer_to_connect_that_breaks_the_standard_loses_the_link():
    for stream in (
        b"\x20\x02\x01\x00",
        b"\x20\x02\x00\x06",
        b"\x20\x02\x02\x00",
        b"\x20\x01\x00",
        b"\x30\x04\x00\x01tx",
    ):
        radio = make(Tape(stream))
        assert [event[0] for event in steps(radio, 0)] == ["lost"], stream
        assert radio.state == "waiting"


def test_a_refusal_is_a_state_with_the_reason_and_tried_again_after_half_a_minute():
    for code in range(1, 6):
        tape = Tape(bytes((0x20, 2, 0, code)))
        radio = make(tape)
        (event,) = steps(radio, 0)
        assert event[1].startswith("the broker refuses us: ") and radio.why == event[1]
        assert radio.state == "refused"
        assert radio.retry_ms(0) == 30000 and steps(radio, 29999) == []
        if code == 4:
            assert event[1].endswith("bad user name or password")
        tape.said = CONNACK
        assert steps(radio, 30000) == [("connected",)] and radio.why == ""


def test_eight_packets_are_in_flight_and_the_others_follow_in_order():
    tape = Tape()
    radio = connected(tape)
    assert radio.carry_out(publish(*[b"%d" % at for at in range(10)]))
    radio.carry_out(publish(b"last", qos=0))
    steps(radio, 0)
    assert tape.new() == b"".join(b"\x32\x06\x00\x01t\x00" + bytes((at + 1,)) + b"%d" % at for at in range(8))
    assert radio.pending == 11
    tape.said = puback(3)
    assert radio.step(0) is None
    assert tape.new() == b"\x32\x06\x00\x01t\x00\x098"
    tape.said = puback(3) + puback(777) + puback(1)  # not in flight any more; never was
    steps(radio, 0)
    assert tape.new() == b"\x32\x06\x00\x01t\x00\x0a9"
    tape.said = puback(2)
    steps(radio, 0)
    assert tape.new() == b"\x30\x07\x00\x01tlast"
    tape.said = b"".join(puback(number) for number in range(4, 11))
    steps(radio, 0)
    assert radio.pending == 0


def test_packet_ids_wrap_to_1_and_pass_over_those_in_flight():
    tape = Tape()
    radio = connected(tape)
    radio.carry_out(publish(b"", b""))
    steps(radio, 0)
    tape.new()
    tape.said = puback(2)  # 1 stays in flight
    for at in range(65534):
        radio.carry_out(publish(b""))
        radio.step(0)
        sent = tape.new()[-2:]
        expected = at + 3 if at < 65533 else 2
        assert sent == bytes((expected >> 8, expected & 255)), (expected, sent)
        tape.said = puback(expected)


def test_more_than_32_waiting_effects_lose_the_link_not_an_effect():
    tape = Tape()
    radio = connected(tape)
    radio.carry_out(publish(*[b""] * 40))
    assert steps(radio, 0) == []
    radio.carry_out(publish(b""))
    assert steps(radio, 0) == [("lost", "more than 32 effects wait for the broker")]
    assert radio.pending == 0
    assert not radio.carry_out(publish(b""))
    tape.new()
    tape.said = CONNACK
    assert steps(radio, 1000) == [("connected",)]
    assert tape.new() == CONNECT


def test_what_cannot_be_written_stops_the_reading():
    """A broker that does not take our acknowledgements: the buffers to be written are bounded."""
    tape = Tape()
    radio = connected(tape)
    tape.write = lambda _: None
    tape.said = b"\x32\x05\x00\x01t\x00\x01" * 100
    assert len(steps(radio, 0, 200)) == radio.pending == 33


def test_a_ping_goes_out_after_half_the_keepalive_and_silence_is_noticed_after_one_and_a_half():
    for start_ms in (0, 0x3FFFFFFF - 20000):  # the second time the clock wraps in between
        tape = Tape()
        radio = connected(tape, start_ms)

        def at(ms, radio=radio, start_ms=start_ms):
            return steps(radio, (start_ms + ms) & 0x3FFFFFFF)

        assert at(HALF_MS - 1) == [] and tape.new() == b""
        assert at(HALF_MS) == [] and tape.new() == b"\xc0\x00"
        tape.said = b"\xd0\x00"
        assert at(HALF_MS + 100) == []
        assert at(2 * HALF_MS - 1) == [] and tape.new() == b""
        assert at(2 * HALF_MS) == [] and tape.new() == b"\xc0\x00"
        assert at(HALF_MS + 100 + LIMIT_MS - 1) == [] and tape.new() == b""
        assert at(HALF_MS + 100 + LIMIT_MS) == [("lost", "the broker is silent")]
        assert tape.closed


def test_a_clock_may_wrap_and_a_time_be_a_little_old():
    assert since(5, 3) == 2 and since(3, 5) == -2
    assert since(1, 0x3FFFFFFF) == 2 and since(0x3FFFFFFF, 1) == -2
    tape = Tape()
    radio = connected(tape, 1000)
    assert steps(radio, 990) == [] and tape.new() == b""


def test_a_ping_goes_out_also_when_we_talk_but_hear_nothing():
    tape = Tape()
    radio = connected(tape)
    for now_ms in range(0, 2 * HALF_MS, 1000):
        radio.carry_out(publish(b"", qos=0))
        steps(radio, now_ms)
    assert b"\xc0\x00" not in tape.new()
    steps(radio, 2 * HALF_MS)
    assert tape.new() == b"\xc0\x00"


def test_a_broker_that_talks_but_does_not_answer_is_given_up():
    for effects, why in (([], "PINGREQ"), (publish(b""), "a packet")):
        tape = Tape()
        radio = connected(tape)
        radio.carry_out(effects)
        steps(radio, 0)
        lost = []
        for now_ms in range(0, 100000, 1000):
            tape.said = b"\x30\x04\x00\x01tx"
            lost += [(now_ms, event) for event in steps(radio, now_ms) if event[0] == "lost"]
            if lost:
                break
        begins_ms = 0 if effects else HALF_MS
        assert lost == [(begins_ms + LIMIT_MS, ("lost", "the broker does not acknowledge a packet"))], (why, lost)


def test_a_broker_that_acknowledges_slowly_is_not():
    tape = Tape()
    radio = connected(tape)
    for number in range(1, 20):
        radio.carry_out(publish(b""))
        tape.said = b"\xd0\x00" + (puback(number - 1) if number > 1 else b"")
        assert steps(radio, number * (LIMIT_MS - 1)) == [], number


def test_no_answer_to_connect_is_noticed_too():
    radio = make(Tape())
    assert steps(radio, 0) == [] and radio.state == "connecting"
    assert steps(radio, LIMIT_MS - 1) == []
    assert steps(radio, LIMIT_MS) == [("lost", "the broker is silent")]


def test_the_waits_between_two_tries_double_from_a_second_to_a_minute():
    for luck, expected in (
        (0.0, [1000, 2000, 4000, 8000, 16000, 30000, 30000]),
        (0.5, [1500, 3000, 6000, 12000, 24000, 45000, 45000]),
    ):

        def open_link():
            raise OSError("no network")

        radio = Radio(open_link, "room-1", "pw", lambda luck=luck: luck)
        now_ms, waits = 0, []
        for _ in expected:
            assert radio.step(now_ms) == ("lost", "no network")
            waits.append(radio.retry_ms(now_ms))
            assert radio.step(now_ms + waits[-1] - 1) is None
            now_ms += waits[-1]
        assert waits == expected, waits


def test_the_waits_begin_anew_after_a_connection_that_has_lasted():
    tape = Tape()
    radio = make(tape)
    now_ms, waits = 0, []
    for lasts_ms in (0, 9999, 9999, 10000, 0):
        tape.said = CONNACK
        assert steps(radio, now_ms) == [("connected",)]
        assert steps(radio, now_ms + lasts_ms) == []
        tape.ended = True
        now_ms += lasts_ms
        assert steps(radio, now_ms, 1) == [("lost", "the other side closed the link")]
        tape.ended = False
        waits.append(radio.retry_ms(now_ms))
        now_ms += waits[-1]
    assert waits == [1000, 2000, 4000, 1000, 2000]


def test_half_a_packet_of_the_old_link_does_not_reach_the_new_one():
    for half in (b"\x30", b"\x30\x0a\x00\x01tx", b"\x30\x90\x4e\x00\x01t" + bytes(99)):
        tape = Tape()
        radio = connected(tape, buffer_bytes=64)
        tape.most = 1
        radio.carry_out(publish(bytes(300), b""))
        tape.said = half
        while tape.said:
            radio.step(0)
        assert 0 < len(tape.heard) < 300
        tape.ended = True
        assert steps(radio, 0, 2) == [("lost", "the other side closed the link")]
        tape.most, tape.ended, tape.said = 1000, False, CONNACK + b"\x30\x04\x00\x01tx"
        tape.new()
        assert steps(radio, 1000) == [("connected",), ("message", "t", b"x")]
        assert tape.new() == CONNECT


def test_a_link_that_breaks_while_it_closes_is_closed():
    def broken():
        raise OSError("broken")

    tape = Tape()
    radio = connected(tape)
    tape.close = broken
    tape.ended = True
    assert steps(radio, 0) == [("lost", "the other side closed the link")]


def test_leaving_waits_for_the_acknowledgement_and_says_disconnect():
    class Broker(Tape):
        def write(self, buffer):
            if bytes(buffer) == b"\xe0\x00":
                self.ended = True
            elif self.heard.count(b"bye"):
                self.said += puback(1)
            return Tape.write(self, buffer)

    tape = Broker()
    radio = connected(tape)
    ticks = [0]

    def clock():
        ticks[0] += 1
        if ticks[0] == 50:
            tape.said = puback(1)
        return ticks[0]

    assert radio.leave(publish(b"bye"), clock, 1000) is True
    assert 50 <= ticks[0] < 70
    assert bytes(tape.heard) == b"\x32\x08\x00\x01t\x00\x01bye\xe0\x00"
    assert radio.state == "waiting" and radio.retry_ms(ticks[0]) == 0
    tape.ended, tape.said = False, CONNACK
    assert steps(radio, 100) == [("connected",)]


def test_leaving_without_an_acknowledgement_ends_in_time_and_without_disconnect():
    tape = Tape()
    radio = connected(tape)
    ticks = [0]

    def clock():
        ticks[0] += 1
        return ticks[0]

    assert radio.leave(publish(b"bye"), clock, 1000) is False
    assert 1000 <= ticks[0] <= 1010
    assert tape.closed and bytes(tape.heard) == b"\x32\x08\x00\x01t\x00\x01bye"
    assert radio.leave(publish(b"bye"), clock, 1000) is False  # there is no connection


def main():
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            function()
            print(name)


if __name__ == "__main__":
    main()
