"""A round that is for others, on both interpreters: the session learns nothing in it and goes on with the next one."""

import json
from array import array
from binascii import hexlify
from hashlib import sha256

from tegu import topics
from tegu.model import Model
from tegu.session import Session
from tegu.wire.initialization import encode_init

MODEL = Model("1 | dense 1 linear")


def say(session, kind, fields):
    session.received(topics.model("home", "m", kind), json.dumps(fields).encode())


def outside(session, round_num, version):
    told = {"result": "outside", "version": version, "round_num": round_num, "why": "has no sensor co2"}
    return session.received(topics.device("home", "a", "ack", "m"), json.dumps(told).encode())


def given(session, version):
    """The session after manifest, initialization and round of a version; a round takes two samples."""
    whole = bytes(encode_init(MODEL, array("f", [1.0, 0.0]), version))
    told = {"model": "m", "spec": MODEL.spec, "hash": MODEL.shape_hash, "version": version, "bytes": len(whole)}
    told.update(sha256=hexlify(sha256(whole).digest()).decode(), chunks=1)
    told.update(inner_step_size=0.5, samples=2, top_p=50.0)
    say(session, "manifest", told)
    session.received(topics.model("home", "m", "init"), whole)
    opened(session, version, version)
    return session


def opened(session, round_num, version):
    say(session, "round", {"round_num": round_num, "version": version, "opens_s": 0, "closes_s": 60, "quorum": 1})


def test_a_device_outside_of_the_round_stops_and_begins_again_with_the_next_version():
    session = given(Session("home", "a", "m", 1), 1)
    assert session.sample([2.0], [1.0]) == []  # a step of 0.5 on an error of 1: the weight falls by 1
    assert list(session.learner.weights) == [0.0, -0.5]
    assert outside(session, 1, 1) == []
    assert (session.learning, session.learned, list(session.learner.weights)) == (False, 0, [1.0, 0.0])
    assert session.refused_why == "outside: has no sensor co2"
    assert given(session, 2).learning


def test_a_later_round_of_the_same_version_may_be_for_a_device_that_an_earlier_one_was_not_for():
    session = given(Session("home", "a", "m", 1), 1)
    outside(session, 1, 1)
    opened(session, 1, 1)  # as after a connect
    assert not session.learning
    opened(session, 2, 1)
    assert session.learning


def test_a_device_that_hears_it_before_the_round_does_not_begin():
    session = given(Session("home", "a", "m", 1), 1)
    outside(session, 1, 1)
    outside(session, 2, 2)
    given(session, 2)
    assert (session.version, session.learning) == (2, False)
    assert given(session, 3).learning
