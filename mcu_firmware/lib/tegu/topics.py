"""Every MQTT topic of Tegu, built and parsed here and nowhere else. The table is section 4 of the design.

    tegu/1/{site}/coordinator/state               retained
    tegu/1/{site}/model/{model}/{kind}            retained: manifest, round, init, about, chunk/{version}/{i}, delta/{version}
    tegu/1/{site}/device/{device}/{kind}          state, thing, desired, reported (retained); telemetry, label
    tegu/1/{site}/device/{device}/{kind}/{what}   update/{model}, ack/{model}, sense/{channel}
    tegu/1/{site}/join/{device}

Ids are a-z, 0-9 and '-', 1 to 32 of them: no id can smuggle in a level or a wildcard.
"""

PREFIX = "tegu/1/"
ID_BYTES = 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
ANY = "+"  # in place of an id: a subscription to all


def check_id(word: str, what: str = "id") -> str:
    """word itself if it may stand in a topic, else ValueError."""
    if not 1 <= len(word) <= ID_BYTES or not all(letter in LETTERS for letter in word):
        raise ValueError("%s must be 1 to %d of a-z, 0-9 and '-', not %r" % (what, ID_BYTES, word))
    return word


def _id(word: str, what: str) -> str:
    return word if word == ANY else check_id(word, what)


def everything(site: str) -> str:
    """A subscription to all of a site."""
    return PREFIX + check_id(site, "site") + "/#"


def coordinator_state(site: str) -> str:
    return PREFIX + _id(site, "site") + "/coordinator/state"


def model(site: str, model_name: str, kind: str) -> str:
    """kind: manifest, round, init or about."""
    return PREFIX + _id(site, "site") + "/model/" + _id(model_name, "model") + "/" + kind


def chunk(site: str, model_name: str, version: int, at: int) -> str:
    """Piece `at`, from 0, of an initialization."""
    return model(site, model_name, "chunk") + "/%d/%d" % (version, at)


def delta(site: str, model_name: str, version: int) -> str:
    """What changed from the version before to this one, sparse."""
    return model(site, model_name, "delta") + "/%d" % version


def device(site: str, device_id: str, kind: str, what: str = "") -> str:
    """kind: state, thing, telemetry, label, desired, reported; with `what`: update, ack (a model), sense (a channel)."""
    topic = PREFIX + _id(site, "site") + "/device/" + _id(device_id, "device") + "/" + kind
    return topic + "/" + _id(what, "model or channel") if what else topic


def join(site: str, device_id: str) -> str:
    """Where a device without a password of its own asks to be taken in."""
    return PREFIX + _id(site, "site") + "/join/" + _id(device_id, "device")


def parse(topic: str) -> "tuple[str, str, str, str, str] | None":
    """(site, owner, id, kind, rest) of a topic of our shape, None of any other. The words are not checked as ids.

    owner is coordinator, model, device or join; id is empty for the coordinator; rest is what follows the kind:
    a model, a channel, '{version}/{i}' of a chunk or '{version}' of a delta.
    """
    if not topic.startswith(PREFIX):
        return None
    words = topic[len(PREFIX) :].split("/")
    if len(words) == 3 and words[1] == "coordinator":
        return words[0], words[1], "", words[2], ""
    if len(words) == 3 and words[1] == "join":
        return words[0], words[1], words[2], "", ""
    if len(words) >= 4 and words[1] in ("model", "device"):
        return words[0], words[1], words[2], words[3], "/".join(words[4:])
    return None
