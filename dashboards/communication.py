"""Communication: what goes over the air, and the ledger: two counts of the same bytes."""

from grafana_foundation_sdk.models import dashboard as model

from coordinator.metrics import BYTE_CLASSES

from .device import CLASSES
from .fleet import GAP
from .influxql import CHOSEN, LATEST_TOLD, at_end, in_all, over_time
from .page import DEVICE_PAGE, page
from .panels import BLUE, GREEN, PLAIN, AnyPanel, Look, Size, Text, lines, tile
from .rounds import RESULT_WORDS
from .tables import Column, coloured, grid, limited, linked
from .targets import Target

NONE = "no device has told its bytes in this time"


def build() -> model.Dashboard:
    """Sums of the chosen time, bytes over time, both counts and what is between them."""
    return page(
        "communication",
        "Tegu: communication",
        "Payload bytes by class, compression, and the ledger of devices and coordinator.",
        [*_sums(), *_history(), _ledger()],
        device="several",
    )


def _sums() -> list[AnyPanel]:
    def sum_of(what: str, title: str, help: str, unit: str = "decbytes") -> AnyPanel:
        return tile(Text(title, help, NONE), Size(4, 3), in_all(what, "bytes", CHOSEN), unit, PLAIN)

    all_bytes = " + ".join(f'sum("{name}")' for name in BYTE_CLASSES)
    return [
        sum_of(f'{all_bytes} AS "all"', "All bytes", "Up and down, of all chosen devices."),
        sum_of('sum("model_down") AS "down"', "Model, down", CLASS_HELP["model_down"]),
        sum_of('sum("update_up") AS "up"', "Updates, up", CLASS_HELP["update_up"]),
        sum_of('sum("telemetry_up") AS "told"', "Telemetry, up", CLASS_HELP["telemetry_up"]),
        sum_of('sum("dense_up") AS "dense"', "Updates if dense", "What the same updates would be as dense float32."),
        sum_of('sum("dense_up") / sum("update_up") AS "times"', "Smaller by", "Dense divided by sent.", "x"),
    ]


CLASS_HELP = {
    "model_down": "Manifests, rounds, initializations and deltas.",
    "update_up": "What devices learned, as often as it was sent.",
    "telemetry_up": "What devices say of themselves.",
}


def _history() -> list[AnyPanel]:
    sums = [Target(over_time(f'sum("{name}") AS "{name}"', "bytes", CHOSEN), "$col") for name in BYTE_CLASSES]
    times = 'sum("dense_up") / sum("update_up") AS "times"'
    both = [
        Target(over_time('sum("update_up") AS "device"', "bytes", CHOSEN), "$col"),
        Target(over_time('sum("bytes") AS "coordinator"', "update", CHOSEN), "$col"),
    ]
    gaps = over_time('last("gap") AS "gap"', "bytes", CHOSEN, "device")
    counted = {"device": ("sent, by the devices' count", BLUE), "coordinator": ("came, by the coordinator's", GREEN)}
    result = over_time('count("bytes") AS "updates"', "update", CHOSEN, "result")
    return [
        lines(
            Text("Bytes by class", "Payload bytes in each bar's time, by the devices' count.", NONE),
            Size(12, 8),
            sums,
            Look("decbytes", bars=True, stacked=True, every="10m", names=CLASSES),
        ),
        lines(
            Text("Updates: sent and come", "Both counts of the same updates; what is between them was lost.", NONE),
            Size(12, 8),
            both,
            Look("decbytes", filled=0, every="10m", few=True, names=counted, areas=("device",)),
        ),
        lines(
            Text("Smaller than dense by", "How often smaller the updates were than as dense float32.", NONE),
            Size(8, 8),
            [Target(over_time(times, "bytes", CHOSEN), "$col")],
            Look("x", every="10m", few=True, names={"times": ("times", GREEN)}),
        ),
        lines(
            Text("Updates by answer", "How many came, by what the coordinator said of them.", NONE),
            Size(8, 8),
            [Target(result, "$tag_result")],
            Look(bars=True, stacked=True, every="10m", names=RESULT_WORDS),
        ),
        lines(
            Text("Bytes that differ", "The ledger's gap of each device since its start: choose a few above.", NONE),
            Size(8, 8),
            [Target(gaps, "$tag_device")],
            Look("decbytes", GAP, filled=0, every="10m", many=True),
        ),
    ]


def _ledger() -> AnyPanel:
    counts = [
        (f"{name}_{who}", f"{CLASSES[name][0]}: {who}") for name in BYTE_CLASSES for who in ("device", "coordinator")
    ]
    fields = ", ".join(f'"{name}"' for name, _ in counts)
    query = at_end(f'last("gap") AS "gap", {fields}', "bytes", CHOSEN, LATEST_TOLD, "device")
    columns = (
        Column("device", "Device", 180, "", (linked("What this device does", DEVICE_PAGE + "${__value.raw}"),)),
        Column("gap", "Differ by", 110, "decbytes", (limited(GAP), coloured("text"))),
        *(Column(name, title, 0, "decbytes") for name, title in counts),
    )
    text = Text(
        "The ledger, largest differences first", "Bytes since a device's start: its count and the coordinator's.", NONE
    )
    return grid(text, Size(24, 10), [Target(query)], columns, [("Differ by", True)], "gap")
