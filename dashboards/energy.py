"""Energy: joules by what they went into, and what they brought. Measured and modelled are told apart."""

from grafana_foundation_sdk.models import dashboard as model

from .device import KINDS
from .influxql import CHOSEN, SCOPE, in_all, over_time
from .page import page
from .panels import BLUE, GREEN, ORANGE, PLAIN, AnyPanel, Bars, Look, Size, Text, bars, lines, tile
from .targets import Target

PARTS = {
    "compute_joules": ("learning and encoding", BLUE),
    "radio_joules": ("bytes sent and received", ORANGE),
    "session_joules": ("connecting", GREEN),
}
NONE = "no device has told its energy in this time"
# What a round brought, for what a device spent in it: means over the devices that told.
PER_JOULE = '("loss_before" - "loss_after") * "accepted" / "joules" AS "gain"'
PER_KILOBYTE = '("loss_before" - "loss_after") * "accepted" / "update_bytes" * 1000 AS "gain"'


def build() -> model.Dashboard:
    """Sums of the chosen time, joules by kind and by part, what a joule and a kilobyte bring, who spends most."""
    return page(
        "energy",
        "Tegu: energy",
        "Joules by kind and by part, and what they bring.",
        [*_sums(), *_history(), *_gain()],
        device="several",
    )


def _of_kind(kind: str) -> str:
    return f"{CHOSEN} AND \"kind\" = '{kind}'"


def _sums() -> list[AnyPanel]:
    size = Size(6, 3)
    measured = in_all('sum("joules") AS "joules"', "energy", _of_kind("measured"))
    modelled = in_all('sum("joules") AS "joules"', "energy", _of_kind("modelled"))
    device = in_all('sum("joules") / sum("accepted") AS "joules"', "round", SCOPE)
    kilobyte = in_all('sum("joules") / sum("update_bytes") * 1000 AS "joules"', "round", SCOPE)
    return [
        tile(Text("Measured", "By meters, of the chosen devices.", "no device has a meter"), size, measured, "joule"),
        tile(Text("Modelled", "From cycles, bytes and sessions: a model.", "none"), size, modelled, "joule"),
        tile(Text("A device and round", "Joules for each update that was merged.", NONE), size, device, "joule"),
        tile(
            Text("A kilobyte of updates", "Joules for each kilobyte of updates that came.", NONE),
            size,
            kilobyte,
            "joule",
        ),
    ]


def _history() -> list[AnyPanel]:
    parts = [Target(over_time(f'sum("{name}") AS "{name}"', "energy", _of_kind("modelled")), "$col") for name in PARTS]
    mean = over_time('mean("joules") AS "joules"', "energy", CHOSEN, "kind")
    spent = f'SELECT mean("joules") AS "joules" FROM "energy" WHERE $timeFilter AND {CHOSEN} GROUP BY "device", "kind"'
    return [
        lines(
            Text("Joules by kind", "In each bar's time: measured by a meter, or modelled.", NONE),
            Size(8, 9),
            [Target(over_time('sum("joules") AS "joules"', "energy", CHOSEN, "kind"), "$tag_kind")],
            Look("joule", bars=True, stacked=True, every="10m", names=KINDS),
        ),
        lines(
            Text("Joules by part", "Modelled only: a meter does not know what it measures.", NONE),
            Size(8, 9),
            parts,
            Look("joule", bars=True, stacked=True, every="10m", names=PARTS),
        ),
        lines(
            Text("Joules of a device in a telemetry's time", "Mean over the chosen devices, by kind.", NONE),
            Size(8, 9),
            [Target(mean, "$tag_kind")],
            Look("joule", every="10m", few=True, names=KINDS),
        ),
        bars(
            Text(
                "Devices that spend most",
                "Mean joules in a telemetry's time, measured or modelled; the six most.",
                NONE,
            ),
            Size(10, 9),
            [Target(f'SELECT top("joules", 6) AS "joules", "device", "kind" FROM ({spent})')],
            "joule",
            PLAIN,
            Bars("joules", above=True),
        ),
    ]


def _gain() -> list[AnyPanel]:
    def gained(what: str, cost: str) -> str:
        """A round whose cost nobody told is left out: InfluxQL takes a division by zero for zero."""
        inner = f'SELECT {what} FROM "round" WHERE $timeFilter AND "{cost}" > 0 AND {SCOPE}'
        return f'SELECT mean("gain") AS "gain" FROM ({inner}) WHERE $timeFilter GROUP BY time($__interval) fill(null)'

    names = {"gain": ("loss", GREEN)}
    return [
        lines(
            Text(
                "Loss gained by a joule",
                "Fall of a device's loss in a round, for each joule that a device spent in it.",
                NONE,
            ),
            Size(7, 9),
            [Target(gained(PER_JOULE, "joules"), "$col")],
            Look("short", lowest=None, every="1m", names=names),
        ),
        lines(
            Text("Loss gained by a kilobyte", "The same, for each kilobyte of the updates that came.", NONE),
            Size(7, 9),
            [Target(gained(PER_KILOBYTE, "update_bytes"), "$col")],
            Look("short", lowest=None, every="1m", names=names),
        ),
    ]
