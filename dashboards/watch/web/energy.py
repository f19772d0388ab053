"""Energy: what is spent, on what, and by which device."""

from nicegui import ui

from .. import words
from ..views import periods
from ..views.costs import Energy, Spent, energy
from ..views.fleet import natural
from .charts import BLUE, GREY, SAND, TEAL, VIOLET, Series, bars, lines
from .listing import Cell, Column, Listing
from .parts import Card, Chart, Tile, show_none
from .shell import Shell

PARTS = (("Learning", VIOLET), ("Radio", BLUE), ("Connecting", SAND), ("Other, estimated", GREY), ("Measured", TEAL))
NOTHING = "No device has told its energy yet."
DAY_S = 86400


async def page(shell: Shell) -> None:
    """Build it and bring it to life."""
    with ui.element("div").classes("tiles"):
        tiles = [Tile("How much is spent?"), Tile("What on?"), Tile("What does a round cost?"), Tile("Is it measured?")]
    with ui.element("div").classes("cards"):
        steps = Chart(
            "Energy by what it is spent on",
            "All devices. A device with a meter tells all that it draws; of the others the parts are estimated from what they did.",
            NOTHING,
        )
        per_round = Chart("Energy of a round", "All devices together.", "No round has closed yet.")
    with Card("Devices", "Since each one's start. The one that draws most comes first.", wide=True):
        listing: Listing[Spent] = Listing(COLUMNS, lambda told: told.device, opens=True)

    def show(found: Energy, over: periods.Period) -> None:
        _show_tiles(tiles, found, over)
        steps.show(bars(_parts(found), over, "joules") if found.all_joules else None)
        told = [row for row in found.per_round if row[1] is not None]
        per_round.show(_per_round(told, over) if told else None)
        listing.show(found.devices, NOTHING)

    await shell.arrive("/energy", "Energy", energy, show)


def _show_tiles(tiles: list[Tile], found: Energy, over: periods.Period) -> None:
    when = words.PERIOD_WORDS[over.word]
    if not found.devices:
        show_none(tiles, "no device has told its energy yet")
        return
    each = f"{words.energy(found.all_joules / len(found.devices))} a device"
    tiles[0].show(words.energy(found.all_joules), f"{when}; {each}")
    tiles[1].show(*_what_on(found))
    told = [row[1] for row in found.per_round if row[1] is not None]
    tiles[2].show(words.energy(sum(told) / len(told)) if told else words.NONE, f"all devices, mean {when}", spark=told)
    metered = sum(told.kind == "measured" for told in found.devices)
    value = "Yes" if metered == len(found.devices) else "In part" if metered else "Estimated"
    tiles[3].show(value, f"{metered:,} of {words.many(len(found.devices), 'device')} have a meter")


def _what_on(found: Energy) -> tuple[str, str]:
    """The largest of the parts that are estimated, and the others."""
    parts = sorted(((found.total(at), name.lower()) for at, (name, _) in enumerate(PARTS[:-1])), reverse=True)
    whole = sum(joules for joules, _ in parts)
    if not whole:
        return words.NONE, "a meter tells how much, not what for"
    shares = [f"{name} {words.percent(joules / whole * 100)}" for joules, name in parts if joules > 0]
    return shares[0][:1].upper() + shares[0][1:], f"{', '.join(shares[1:]) or 'and nothing else'}; of what is estimated"


def _parts(found: Energy) -> list[Series]:
    series = []
    for at, (name, colour) in enumerate(PARTS):
        if found.total(at) > 0:
            series.append(Series(name, colour, [(start_ns, values[at]) for start_ns, values in found.steps]))
    return series


def _per_round(told: list[tuple[float | None, ...]], over: periods.Period) -> dict[str, object]:
    return lines(
        [Series("all devices", TEAL, [(row[0] or 0.0, row[1]) for row in told], area=True)], over, "joules", low=0.0
    )


COLUMNS: tuple[Column[Spent], ...] = (
    Column(
        "name",
        "Device",
        "Its name at the broker.",
        lambda told: Cell(told.device, href=f"/device/{told.device}"),
        lambda told: natural(told.device),
        falling=False,
    ),
    Column(
        "power",
        "Mean power",
        "What it drew on the mean since its start.",
        lambda told: Cell(words.power(told.watts)),
        lambda told: told.watts,
        right=True,
    ),
    Column(
        "day",
        "In a day",
        "At its mean power.",
        lambda told: Cell(words.energy(None if told.watts is None else told.watts * DAY_S)),
        lambda told: told.watts,
        right=True,
    ),
    Column(
        "total",
        "Since its start",
        "All that it spent.",
        lambda told: Cell(words.energy(told.total_joules)),
        lambda told: told.total_joules,
        right=True,
    ),
    Column(
        "kind",
        "How it is known",
        "By a meter, or estimated from what it did.",
        lambda told: Cell("measured" if told.kind == "measured" else "estimated"),
    ),
)
