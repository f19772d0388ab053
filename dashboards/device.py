"""One device: how it is, what it reads in its room, what it learns, what it costs."""

from grafana_foundation_sdk.models import dashboard as model

from coordinator.metrics import CHANNELS, STATES

from .fleet import BEHIND, GAP, NEEDS, RSSI, STARTS, STATE_WORDS
from .influxql import LATEST_TOLD, ONE, SCOPE, at_end, over_time
from .page import page
from .panels import BLUE, GREEN, ORANGE, PLAIN, PURPLE, AnyPanel, Look, Size, Text, lines, saying, tile, timeline
from .targets import Target

CODE_WORDS = {str(code): STATE_WORDS[state] for state, code in STATES.items()}
CLASSES = {
    "model_down": ("model, down", BLUE),
    "update_up": ("updates, up", GREEN),
    "telemetry_up": ("telemetry, up", ORANGE),
}
KINDS = {"measured": ("measured", GREEN), "modelled": ("modelled", PURPLE)}
UNHEARD = "not heard of in the last three hours"
SHOWN = ("co2", "temperature", "humidity", "presence")
THIRD, QUARTER = Size(8, 7), Size(6, 7)


def build() -> model.Dashboard:
    """Its state, its room, its learning, its cost, its health."""
    return page(
        "device",
        "Tegu: device",
        "Everything about one device, chosen above.",
        [*_now(), *_room(), *_learning(), *_health()],
        device="one",
    )


def _now() -> list[AnyPanel]:
    state = at_end('last("state_code") AS "state"', "status", ONE)
    why = at_end('last("trouble") AS "trouble"', "status", ONE)
    heard = at_end('last("heard_s") * 1000 AS "heard"', "status", ONE)
    behind = at_end('last("behind") AS "behind"', "status", ONE)
    starts = at_end('last("starts") AS "starts"', "status", ONE)
    gap = at_end('last("gap") AS "gap"', "bytes", ONE, LATEST_TOLD)
    history = over_time('last("state") AS "state"', "status", ONE, fill="none")
    needs = at_end('last("trouble_code") AS "needs"', "status", ONE)
    three, verdict = Size(3, 3), {**NEEDS, "0": ("nothing wrong", GREEN)}
    return [
        tile(Text("Visit?", "Whether somebody must go to it.", UNHEARD), three, needs, "none", PLAIN, verdict),
        tile(Text("State", "What it is now.", UNHEARD), three, state, "none", PLAIN, CODE_WORDS),
        saying(
            Text("Why", "What somebody should look at; empty: nothing.", "nothing is wrong"), Size(6, 3), why, "trouble"
        ),
        tile(Text("Last heard", "When the coordinator last heard it.", UNHEARD), three, heard, "dateTimeFromNow"),
        tile(
            Text("Versions behind", "The newest initialization less its own.", UNHEARD), three, behind, "none", BEHIND
        ),
        tile(Text("Starts in 24 h", "How often it started in the last day.", UNHEARD), three, starts, "none", STARTS),
        tile(
            Text("Bytes that differ", "Its own count against the coordinator's.", "not told"),
            three,
            gap,
            "decbytes",
            GAP,
        ),
        timeline(
            Text("State over time", "Each stretch is one state; what is not heard is silent.", UNHEARD),
            Size(24, 4),
            Target(history, "state"),
            STATE_WORDS,
        ),
    ]


def _reading(channel: str) -> str:
    return over_time('mean("value") AS "value"', "reading", f"{ONE} AND \"channel\" = '{channel}'")


def _room() -> list[AnyPanel]:
    air = [Target(_reading(channel), CHANNELS[channel].title) for channel in ("temperature", "humidity")]
    known = "|".join(SHOWN)
    more = [
        Target(
            over_time('mean("value") AS "value"', "reading", f'{ONE} AND "channel" !~ /^({known})$/', "channel"),
            "$tag_channel",
        ),
        Target(over_time('mean("value") AS "value"', "other", ONE, "name"), "$tag_name"),
    ]
    humid = Look(names={"Humidity": ("Humidity, percent", BLUE), "Temperature": ("Temperature, °C", ORANGE)})
    presence = Look(highest=1, filled=30, names={"Presence": ("Presence, part of the time", GREEN)})
    no = "this device has no such sensor"
    return [
        lines(Text("CO2", "Its room's air.", no), QUARTER, [Target(_reading("co2"), "CO2")], Look("ppm", lowest=400)),
        lines(Text("Temperature and humidity", "Its room's air.", no), QUARTER, air, humid),
        lines(
            Text("Presence", "1: somebody is there.", no), QUARTER, [Target(_reading("presence"), "Presence")], presence
        ),
        lines(
            Text(
                "Other readings",
                "Other sensors, and numbers of its telemetry that Tegu does not know.",
                "it has no other sensors",
            ),
            QUARTER,
            more,
            Look(lowest=None),
        ),
    ]


def _learning() -> list[AnyPanel]:
    loss = over_time('mean("loss_before") AS "before", mean("loss_after") AS "after"', "device", ONE)
    sums = ", ".join(f'sum("{name}") AS "{name}"' for name in CLASSES)
    result = over_time('count("bytes") AS "updates"', "update", ONE, "result")
    joules = over_time('sum("joules") AS "joules"', "energy", ONE, "kind")
    bars = Look(unit="decbytes", bars=True, stacked=True, every="10m", names=CLASSES)
    return [
        lines(
            Text("Loss", "Mean loss on held-out samples, before and after its own samples of a round."),
            QUARTER,
            [Target(loss, "$col")],
            Look("short", names={"before": ("before adapting", ORANGE), "after": ("after", GREEN)}),
        ),
        lines(
            Text("Updates", "What the coordinator said of each."),
            QUARTER,
            [Target(result, "$tag_result")],
            Look(bars=True, stacked=True, every="10m"),
        ),
        lines(
            Text("Bytes", "Payload bytes in each bar's time, by its own count."),
            QUARTER,
            [Target(over_time(sums, "bytes", ONE), "$col")],
            bars,
        ),
        lines(
            Text("Energy", "Joules in each bar's time, and whether a meter measured them or a model made them."),
            QUARTER,
            [Target(joules, "$tag_kind")],
            Look("joule", bars=True, stacked=True, every="10m", names=KINDS),
        ),
    ]


def _health() -> list[AnyPanel]:
    def told(field: str, call: str = "mean") -> list[Target]:
        return [Target(over_time(f'{call}("{field}") AS "{field}"', "device", ONE), "$col")]

    versions = [*told("version", "max"), Target(over_time('max("version") AS "newest"', "fleet", SCOPE), "$col")]
    return [
        lines(
            Text("Battery", "Charge.", "it has no battery, or does not tell"),
            Size(5, 7),
            told("battery_percent", "min"),
            Look("percent", highest=100, names={"battery_percent": ("charge", GREEN)}),
        ),
        lines(
            Text("Link", "Strength of its radio link; closer to 0 is stronger.", "it has no radio, or does not tell"),
            Size(5, 7),
            told("rssi_dbm"),
            Look("dBm", RSSI, lowest=None, names={"rssi_dbm": ("signal", BLUE)}),
        ),
        lines(
            Text("Free heap", "Memory that is free on it; falling is a leak.", "it does not tell"),
            Size(5, 7),
            told("free_heap_bytes", "min"),
            Look("bytes", names={"free_heap_bytes": ("free", BLUE)}),
        ),
        lines(
            Text("Starts", "Which start of it this is: each step up is a restart."),
            Size(4, 7),
            [Target(over_time('max("boot") AS "boot"', "status", ONE), "$col")],
            Look(lowest=None, filled=0, names={"boot": ("start number", ORANGE)}),
        ),
        lines(
            Text("Version", "Of the initialization that it holds, and the newest there is."),
            Size(5, 7),
            versions,
            Look(lowest=None, filled=0, names={"version": ("its own", BLUE), "newest": ("newest", GREEN)}),
        ),
    ]
