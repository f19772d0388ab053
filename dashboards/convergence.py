"""Convergence: does the initialization get better, and does a device's own adaptation help."""

from collections.abc import Callable
from functools import partial

from grafana_foundation_sdk.models import dashboard as model

from coordinator import trouble
from coordinator.metrics import CURVE_SAMPLES

from .influxql import CHOSEN, LATEST_TOLD, SCOPE, at_end, over_time
from .page import DEVICE_PAGE, page
from .panels import BLUE, GREEN, ORANGE, PLAIN, RED, AnyPanel, Bars, Look, Size, Steps, Text, bars, lines
from .tables import Column, coloured, grid, limited, linked
from .targets import Target

WORSE: Steps = ((None, GREEN), (1, ORANGE), (trouble.WORSE_BY, RED))
LOSSES = {"before": ("before adapting", ORANGE), "after": ("after adapting", GREEN)}
NONE = "no device has told its loss in this time"
NO_CURVE = "no device tells its curve"


def build() -> model.Dashboard:
    """The fleet's mean, the devices', and adaptation curves: loss after so many samples of one's own."""
    return page(
        "convergence",
        "Tegu: convergence",
        "Whether the initialization gets better, and how much a device gains by adapting it.",
        [*_means(), *_curves(), *_devices()],
        device="several",
        days=7,
    )


def _means() -> list[AnyPanel]:
    both = 'mean("loss_before") AS "before", mean("loss_after") AS "after"'
    ratio = 'mean("loss_after") / mean("loss_before") AS "left"'
    step = 'last("outer_step_size") AS "step"'
    return [
        lines(
            Text(
                "Loss, mean of the fleet", "Mean over the devices of a round, before and after their own samples.", NONE
            ),
            Size(14, 9),
            [Target(over_time(both, "round", SCOPE), "$col")],
            Look("short", every="1m", names=LOSSES),
        ),
        lines(
            Text(
                "Loss that is left after adapting",
                "After divided by before: below 1 adapting helps, above it harms.",
                NONE,
            ),
            Size(6, 9),
            [Target(over_time(ratio, "round", SCOPE), "$col")],
            Look("percentunit", WORSE, line=True, every="1m", names={"left": ("left", BLUE)}),
        ),
        lines(
            Text("Outer step", "How far an initialization moves towards what the devices learned.", NONE),
            Size(4, 9),
            [Target(over_time(step, "round", SCOPE), "$col")],
            Look("short", every="1m", names={"step": ("outer step", BLUE)}),
        ),
    ]


def _by_samples(query: Callable[[str], str], more: str = "") -> list[Target]:
    """A query for each number of samples, in their order, which tags (being texts) do not have."""
    made = []
    for samples in CURVE_SAMPLES:
        name = "no sample" if samples == 0 else f"{samples} sample{'s' if samples > 1 else ''}"
        made.append(Target(query(f"{CHOSEN} AND \"samples\" = '{samples}'"), name + more))
    return made


def _of_each(call: str, scope: str) -> str:
    """The mean over devices of each one's first or last in the chosen time."""
    inner = f'SELECT {call}("loss") AS "loss" FROM "adaptation" WHERE $timeFilter AND {scope} GROUP BY "device"'
    return f'SELECT mean("loss") AS "loss" FROM ({inner})'


def _curves() -> list[AnyPanel]:
    mean = 'mean("loss") AS "loss"'
    first, last = (_by_samples(partial(_of_each, call), f", {call}") for call in ("first", "last"))
    colours = {target.alias: ORANGE for target in first} | {target.alias: GREEN for target in last}
    return [
        bars(
            Text(
                "Adaptation curve",
                "Mean loss after so many samples of a device's own: each device's first curve and its last.",
                NO_CURVE,
            ),
            Size(12, 11),
            [target for pair in zip(first, last, strict=True) for target in pair],
            "short",
            PLAIN,
            Bars(colours=colours),
        ),
        lines(
            Text("Adaptation over versions", "Loss after so many samples, as versions follow each other.", NO_CURVE),
            Size(12, 11),
            _by_samples(partial(over_time, mean, "adaptation")),
            Look("short", filled=0, every="1h", few=True),
        ),
    ]


def _devices() -> list[AnyPanel]:
    after = over_time('mean("loss_after") AS "after"', "device", CHOSEN, "device")
    latest = (
        'last("loss_after") AS "after", "loss_before" AS "before", "loss_after" / "loss_before" AS "left", "version"'
    )
    columns = (
        Column("device", "Device", 0, "", (linked("What this device does", DEVICE_PAGE + "${__value.raw}"),)),
        Column("left", "Left", 90, "percentunit", (limited(WORSE), coloured("text"))),
        Column("before", "Before", 100, "short"),
        Column("after", "After", 100, "short"),
        Column("version", "Version", 90, "none"),
    )
    return [
        lines(
            Text("Loss after adapting, by device", "Of the devices chosen above: choose a few.", NONE),
            Size(14, 10),
            [Target(after, "$tag_device")],
            Look("short", filled=0, every="10m", many=True),
        ),
        grid(
            Text("Devices, least gain first", "Of each its last round: after divided by before, in percent.", NONE),
            Size(10, 10),
            [Target(at_end(latest, "device", CHOSEN, LATEST_TOLD, "device"))],
            columns,
            [("Left", True)],
            "after",
        ),
    ]
