"""The fleet: which of many devices needs a visit, in one look."""

from grafana_foundation_sdk.models import dashboard as model

from coordinator import trouble
from coordinator.metrics import STATES

from .influxql import LATEST, LATEST_TOLD, SCOPE, over_time, summed
from .page import DEVICE_PAGE, page
from .panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PLAIN,
    PURPLE,
    RED,
    AnyPanel,
    Bars,
    Look,
    Size,
    Steps,
    Text,
    bars,
    lines,
    tile,
)
from .tables import Column, coloured, grid, linked, mapped
from .targets import Target

NEEDS = {"0": ("-", "transparent"), "1": ("keep an eye on it", ORANGE), "2": ("VISIT", RED)}
STATE_WORDS = {
    "ready": ("ready", GREEN),
    "sleeping": ("sleeping", BLUE),
    "offline": ("offline", GREY),
    "refused": ("refused", PURPLE),
    "lost": ("link lost", ORANGE),
    "silent": ("silent", RED),
}
BATTERY: Steps = ((None, RED), (trouble.BATTERY_PERCENT_BAD, ORANGE), (trouble.BATTERY_PERCENT, GREEN))
STARTS: Steps = ((None, GREEN), (trouble.STARTS_A_DAY, ORANGE), (trouble.STARTS_A_DAY_BAD, RED))
BEHIND: Steps = ((None, GREEN), (trouble.BEHIND_VERSIONS // 2, ORANGE), (trouble.BEHIND_VERSIONS, RED))
GAP: Steps = ((None, GREEN), (trouble.GAP_BYTES, ORANGE))
RSSI: Steps = ((None, RED), (-85, ORANGE), (-75, GREEN))
BAD: Steps = ((None, GREEN), (1, RED))
ODD: Steps = ((None, GREEN), (1, ORANGE))
NOBODY = "no device heard of"

OF_STATUS = f"""
SELECT last("trouble_code") AS "needs", "state", "trouble", "heard_s" * 1000 AS "heard", "behind", "starts"
FROM "status" WHERE {LATEST} AND {SCOPE} GROUP BY "device"
"""
OF_TELEMETRY = f"""
SELECT last("battery_percent") AS "battery", last("rssi_dbm") AS "rssi"
FROM "device" WHERE {LATEST_TOLD} AND {SCOPE} GROUP BY "device"
"""
OF_LEDGER = f'SELECT last("gap") AS "gap" FROM "bytes" WHERE {LATEST_TOLD} AND {SCOPE} GROUP BY "device"'

# A row has one colour, that of its verdict, so that a stranger sees it; its other cells have none of their own.
COLUMNS = (
    Column("needs", "Visit?", 150, "", (mapped(NEEDS), coloured(row=True), ("custom.align", "left"))),
    Column("device", "Device", 170, "", (linked("What this device does", DEVICE_PAGE + "${__value.raw}"),)),
    Column("state", "State", 100, "", (mapped(STATE_WORDS),)),
    Column("trouble", "Why"),
    Column("heard", "Last heard", 150, "dateTimeFromNow"),
    Column("behind", "Versions behind", 130, "none"),
    Column("battery", "Battery", 100, "percent", (("decimals", 0),)),
    Column("starts", "Starts in 24 h", 140, "none"),
    Column("gap", "Bytes that differ", 130, "decbytes"),
    Column("rssi", "Link", 100, "dBm"),
)


def _count(field: str, title: str, help: str, colours: Steps) -> AnyPanel:
    query = summed("fleet", field, SCOPE, LATEST)
    return tile(Text(title, help, NOBODY), Size(4, 4), query, "none", colours)


def build() -> model.Dashboard:
    """Six counts, the table of devices with the worst on top, then how it went."""
    return page(
        "fleet",
        "Tegu: fleet",
        "Which device needs a visit, and how all of them are.",
        [
            _count("visit", "Need a visit", "Devices that somebody must go to; they are on top of the table.", BAD),
            _count("watch", "Keep an eye on", "Devices that something is wrong with, and that may mend.", ODD),
            _count("silent", "Silent", "Ready or due to wake, and not heard.", BAD),
            _count("lost", "Link lost", "Their link broke, and they have not come back.", ODD),
            _count("ready", "Ready", "Taking part in rounds now.", ((None, RED), (1, GREEN))),
            _count("devices", "Devices", "All that were heard of.", PLAIN),
            grid(
                Text(
                    "Devices, worst first",
                    "One row a device as it was when the chosen time ends. Its name leads to all about it.",
                    "no device was heard of in the last three hours: is the coordinator running?",
                ),
                Size(24, 14),
                [Target(OF_STATUS), Target(OF_TELEMETRY), Target(OF_LEDGER)],
                COLUMNS,
                [("Visit?", True), ("Starts in 24 h", True)],
                "needs",
            ),
            *_history(),
        ],
        marks=("trouble",),
    )


def _history() -> list[AnyPanel]:
    states = [summed("fleet", state, SCOPE, "$timeFilter", "time($__interval)") for state in STATES]
    behind = over_time('max("behind_most") AS "behind"', "fleet", SCOPE, "model")
    gap = over_time('max("gap_bytes") AS "gap"', "fleet", SCOPE, "model")
    battery = (
        f'SELECT last("battery_percent") AS "battery" FROM "device" WHERE {LATEST_TOLD} AND {SCOPE} GROUP BY "device"'
    )
    starts = f'SELECT last("starts") AS "starts" FROM "status" WHERE {LATEST} AND {SCOPE} GROUP BY "device"'
    return [
        lines(
            Text("Devices by state", "How many were in which state."),
            Size(12, 8),
            [Target(each, "$col") for each in states],
            Look(stacked=True, filled=40, every="1m", names=STATE_WORDS),
        ),
        lines(
            Text("Versions behind", "How far the last of those that take part is behind the newest initialization."),
            Size(6, 8),
            [Target(behind, "$tag_model")],
            Look(colours=BEHIND, line=True, every="1m"),
        ),
        lines(
            Text("Bytes that differ", "The ledger: bytes that the devices and the coordinator count differently."),
            Size(6, 8),
            [Target(gap, "$tag_model")],
            Look(unit="decbytes", every="1m"),
        ),
        bars(
            Text("Batteries, lowest first", "The ten lowest of those that tell.", "no device has told its battery"),
            Size(12, 9),
            [Target(f'SELECT bottom("battery", 10) AS "battery", "device" FROM ({battery})')],
            "percent",
            BATTERY,
            Bars("battery", False, 100),
        ),
        bars(
            Text("Starts in 24 h, most first", "A device that starts again and again has a reason.", NOBODY),
            Size(12, 9),
            [Target(f'SELECT top("starts", 10) AS "starts", "device" FROM ({starts})')],
            "none",
            STARTS,
            Bars("starts"),
        ),
    ]
