"""Bytes: what goes to and from the devices, how much smaller the updates are, and whether both counts agree."""

from nicegui import ui

from coordinator.metrics import BYTE_CLASSES

from .. import words
from ..views import periods
from ..views.costs import Communication, Count, Counted, communication
from ..views.fleet import natural
from .charts import BLUE, GREY, SAND, TEAL, Series, bars, lines
from .listing import Cell, Column, Listing
from .parts import Card, Chart, Tile, show_none
from .shell import Shell

CLASS_COLOURS = dict(zip(BYTE_CLASSES, (BLUE, TEAL, SAND), strict=True))
NOTHING = "No device has told its bytes yet."


async def page(shell: Shell) -> None:
    """Build it and bring it to life."""
    with ui.element("div").classes("tiles"):
        tiles = [
            Tile("How much goes over the air?"),
            Tile("How much of it is updates?"),
            Tile("How much smaller are they?"),
            Tile("Do both counts agree?"),
        ]
    with ui.element("div").classes("cards"):
        steps = Chart(
            "Bytes by what they are for",
            "Payload bytes of all devices: the model goes down to them, updates and reports come up.",
            NOTHING,
        )
        size = Chart(
            "Updates of a round",
            "As they came, and what the same updates would have been uncompressed.",
            "No round has closed yet.",
        )
    caption = "Since each device's start, counted by the device and by the coordinator. Bytes apart were sent and not received."
    with Card("Both counts", caption, wide=True):
        listing: Listing[Counted] = Listing(COLUMNS, lambda told: told.device, opens=True)

    def show(found: Communication, over: periods.Period) -> None:
        _show_tiles(tiles, found, over)
        steps.show(bars(_by_class(found), over, "bytes") if found.all_bytes else None)
        size.show(_sizes(found, over) if found.per_round else None)
        listing.show(found.devices, NOTHING)

    await shell.arrive("/bytes", "Bytes", communication, show)


def _show_tiles(tiles: list[Tile], found: Communication, over: periods.Period) -> None:
    when = words.PERIOD_WORDS[over.word]
    if not found.devices:
        show_none(tiles, "no device has told its bytes yet")
        return
    each = f"{words.data(found.all_bytes / len(found.devices))} a device"
    tiles[0].show(words.data(found.all_bytes), f"{when}; {each}")
    down, telemetry = words.data(found.total(0)), words.data(found.total(2))
    tiles[1].show(words.data(found.total(1)), f"{down} go down to the devices, {telemetry} are their reports")
    times = found.smaller_times
    dense = f"than {words.data(found.total(3))} uncompressed"
    tiles[2].show(
        words.NONE if times is None else f"{words.number(times, 2)} times", dense if times else f"no update {when}"
    )
    apart = sum(told.gap > 0 for told in found.devices)
    if apart:
        tiles[3].show(
            f"{words.data(found.gap_bytes)} apart",
            f"on {words.many(apart, 'device')} of {len(found.devices):,}, since their start",
        )
    else:
        tiles[3].show("Yes", "to the byte, on every device, since its start", "good")


def _by_class(found: Communication) -> list[Series]:
    return [
        Series(
            words.CLASS_WORDS[name], CLASS_COLOURS[name], [(start_ns, values[at]) for start_ns, values in found.steps]
        )
        for at, name in enumerate(BYTE_CLASSES)
    ]


def _sizes(found: Communication, over: periods.Period) -> dict[str, object]:
    dense = Series("uncompressed", GREY, [(row[0] or 0.0, row[2]) for row in found.per_round], dashed=True)
    sent = Series("as they came", TEAL, [(row[0] or 0.0, row[1]) for row in found.per_round], area=True)
    return lines([sent, dense], over, "bytes", low=0.0)


def _class_column(name: str, label: str) -> Column[Counted]:
    def cell(told: Counted) -> Cell:
        return Cell(_pair(told.classes[name]))

    hint = f"{words.CLASS_WORDS[name]}: what the device counted; in brackets what the coordinator counted, if that is another number."
    return Column(name, label, hint, cell, lambda told: told.classes[name].by_device, right=True)


def _pair(count: Count) -> str:
    if count.by_device == count.by_coordinator or count.by_coordinator is None:
        return words.data(count.by_device)
    return f"{words.count(count.by_device)} B ({words.count(count.by_coordinator)} B)"


COLUMNS: tuple[Column[Counted], ...] = (
    Column(
        "name",
        "Device",
        "Its name at the broker.",
        lambda told: Cell(told.device, href=f"/device/{told.device}"),
        lambda told: natural(told.device),
        falling=False,
    ),
    _class_column("model_down", "Model to it"),
    _class_column("update_up", "Updates from it"),
    _class_column("telemetry_up", "Its reports"),
    Column(
        "gap",
        "Apart",
        "Bytes on which the two counts differ, all three together.",
        lambda told: Cell(words.data(told.gap) if told.gap else "none", quiet=not told.gap),
        lambda told: told.gap,
        right=True,
    ),
)
