"""The numpy readers of an update against the library's own: the same values, or the same error, for whatever comes."""

import json
from array import array
from binascii import crc32
from pathlib import Path
from random import Random

import pytest

from coordinator import sections
from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire import CODECS, WireError
from tegu.wire.update import decode_update, encode_update

VECTORS = Path(__file__).parent / "vectors"
MODELS = [
    Model("1 | dense 1 linear"),
    Model("3 | dense 5 tanh | dense 2 softmax"),
    Model("20 | dense 40 tanh | dense 9 linear"),
]
CASES = 20_000


def outcome(payload: bytes, model: Model, readers: object) -> object:
    """What decoding gives, as plain values, or the words of its error."""
    try:
        update = decode_update(payload, model, readers)
    except WireError as error:
        return str(error)
    return update.codec, update.key(), update.samples, list(update.indices), array("f", update.values).tobytes()


def messages(random: Random) -> list[tuple[Model, bytes]]:
    """Sound updates of every model, codec and size."""
    made = []
    for model in MODELS:
        for codec in range(len(CODECS)):
            for percent in (1, 5, 10, 50, 100):
                delta = array("f", [random.gauss(0, 1) ** 3 for _ in range(model.shared_size)])
                made.append((model, bytes(encode_update(model, delta, top_p(delta, percent), codec, 3, 2, 1, 32))))
    return made


def mutated(random: Random, payload: bytes) -> bytes:
    """Some bytes changed, cut or added, under a CRC that fits."""
    body = bytearray(payload[:-4])
    for _ in range(random.randint(1, 3)):
        kind = random.random()
        at = random.randrange(1, len(body)) if random.random() < 0.5 else random.randrange(1, min(len(body), 16))
        if kind < 0.7:
            body[at] ^= 1 << random.randrange(8)
        elif kind < 0.8:
            body[at] = random.choice((0, 255))
        elif kind < 0.9 and len(body) > 14:
            del body[random.randrange(12, len(body)) :]
            break
        else:
            body += bytes(random.randrange(256) for _ in range(random.randint(1, 4)))
    return bytes(body) + crc32(body).to_bytes(4, "little")


def test_both_read_sound_updates_alike() -> None:
    for model, payload in messages(Random(1)):
        found = outcome(payload, model, sections)
        assert not isinstance(found, str)
        assert found == outcome(payload, model, None)


def test_both_read_or_refuse_mutated_updates_alike() -> None:
    random = Random(2)
    sound = messages(random)
    refused: dict[str, int] = {}
    for _ in range(CASES):
        model, payload = random.choice(sound)
        payload = mutated(random, payload)
        found = outcome(payload, model, sections)
        assert found == outcome(payload, model, None), payload.hex()
        if isinstance(found, str):
            field = found.partition(":")[0]
            refused[field] = refused.get(field, 0) + 1
    assert {"gaps", "index", "magnitudes", "magnitude", "signs", "length", "values"} <= set(refused)


@pytest.mark.parametrize("name", ["updates.json", "malformed_updates.json"])
def test_both_agree_on_the_golden_vectors(name: str) -> None:
    rows = json.loads((VECTORS / name).read_text())
    assert rows
    for row in rows:
        model, payload = Model(row["spec"]), bytes.fromhex(row["hex"])
        assert outcome(payload, model, sections) == outcome(payload, model, None), row


def test_a_run_of_zeros_to_the_end_and_indices_of_32_bits_are_read_alike() -> None:
    model = Model("300 | dense 300 linear")  # 90,300 parameters
    delta = array("f", bytes(4 * model.shared_size))
    for at in (0, 1, 65_535, 65_536, 90_299):
        delta[at] = float(at + 1)
    payload = bytes(encode_update(model, delta, array("I", [0, 1, 65_535, 65_536, 90_299]), 0, 1, 1, 1, 1))
    assert outcome(payload, model, sections) == outcome(payload, model, None)
    empty = bytes(encode_update(model, delta, array("I"), 2, 1, 1, 1, 1))
    assert outcome(empty, model, sections) == outcome(empty, model, None)
