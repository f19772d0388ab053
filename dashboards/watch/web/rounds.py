"""Rounds: how often one closes, who took part, how long it took."""

from nicegui import ui

from coordinator.metrics import RESULTS

from .. import words
from ..store import Reading
from ..views import periods
from ..views.rounds import Round, Rounds, rounds
from .charts import BLUE, CLAY, GREY, RED, SAND, TEAL, VIOLET, Series, bars, lines
from .listing import Cell, Column, Listing
from .parts import Card, Chart, Tile, show_none
from .shell import Shell

RESULT_COLOURS = {"accepted": TEAL, "duplicate": GREY, "late": SAND, "stale": CLAY, "limited": VIOLET, "invalid": RED}
UNITS_S = (("hours", 3600), ("minutes", 60), ("seconds", 1))  # functions of look.js
NO_ROUND = "No round has closed yet."


async def page(shell: Shell) -> None:
    """Build it and bring it to life."""
    with ui.element("div").classes("tiles"):
        tiles = [
            Tile("How many rounds have closed?"),
            Tile("How long does one take?"),
            Tile("Are the updates used?"),
            Tile("And now?"),
        ]
    with ui.element("div").classes("cards"):
        results = Chart(
            "What became of the updates", "Each update is merged, or set aside for one of these reasons.", NO_ROUND
        )
        lasted = Chart(
            "How long a round took", "From its opening to its close, and until enough updates were in.", NO_ROUND
        )
    with Card("The last rounds", "Newest first.", wide=True):
        listing: Listing[tuple[Round, int]] = Listing(COLUMNS, lambda pair: str(pair[0].closed_ns))

    def show(found: Rounds, over: periods.Period) -> None:
        _show_tiles(tiles, found, over)
        results.show(_results(found, over) if found.count else None)
        lasted.show(_lasted(found, over) if found.lasted else None)
        listing.show([(one, over.end_ns) for one in found.latest], NO_ROUND)

    def read(at: Reading, over: periods.Period) -> Rounds:
        return rounds(at, over)

    await shell.arrive("/rounds", "Rounds", read, show)


def _show_tiles(tiles: list[Tile], found: Rounds, over: periods.Period) -> None:
    when = words.PERIOD_WORDS[over.word]
    if not found.latest:
        show_none(tiles, "no round has closed yet")
    else:
        newest = found.latest[0]
        taken = [one.lasted_s for one in found.latest if one.lasted_s is not None]
        mean_s = sum(taken) / len(taken) if taken else None
        tiles[0].show(words.count(found.count), f"{when}; the last one was number {newest.number:,}")
        tiles[1].show(
            words.duration(mean_s), f"mean of the last {len(taken)}; at least {newest.quorum} updates close one"
        )
        share = found.merged / found.answered * 100 if found.answered else None
        tone = "" if share is None else "good" if share >= 80 else "watch"
        tiles[2].show(words.percent(share), f"{found.merged:,} of {found.answered:,} updates merged {when}", tone)
    more = f"open; round {found.latest[0].number + 1:,}" if found.latest else "waiting for devices"
    tiles[3].show(
        words.NONE if found.open_s is None else words.duration(found.open_s),
        more if found.open_s is not None else "no round is open",
    )


def _results(found: Rounds, over: periods.Period) -> dict[str, object]:
    series = []
    for at, name in enumerate(RESULTS):
        points = [(start_ns, values[at]) for start_ns, values in found.results]
        if any(value for _, value in points):
            series.append(Series(words.RESULT_WORDS[name], RESULT_COLOURS[name], points))
    return bars(series, over, "count")


def _lasted(found: Rounds, over: periods.Period) -> dict[str, object]:
    longest_s = max((row[1] or 0.0 for row in found.lasted), default=0.0)
    unit, size_s = next((unit for unit in UNITS_S if longest_s >= 2 * unit[1]), UNITS_S[-1])
    shown = []
    for at, name, colour, dashed in (
        (1, "until it closed", TEAL, False),
        (2, "until enough updates were in", BLUE, True),
    ):
        points = [(row[0] or 0.0, None if (value := row[at]) is None else value / size_s) for row in found.lasted]
        if any(value is not None for _, value in points):
            shown.append(Series(name, colour, points, dashed=dashed))
    return lines(shown, over, unit, low=0.0)


def _set_aside(one: Round) -> Cell:
    parts = [
        f"{number} {words.RESULT_WORDS[name]}" for name, number in one.results.items() if number and name != "accepted"
    ]
    return Cell(", ".join(parts) or words.NONE, quiet=not parts)


def _error(one: Round) -> Cell:
    if one.loss_after is None:
        return Cell(words.NONE, quiet=True)
    return Cell(f"{words.number(one.loss_before)} → {words.number(one.loss_after)}")


COLUMNS: tuple[Column[tuple[Round, int]], ...] = (
    Column("name", "Round", "Its number.", lambda pair: Cell(f"{pair[0].number:,}")),
    Column(
        "closed", "Closed", "When it closed.", lambda pair: Cell(words.moment(pair[0].closed_ns, pair[1], "%H:%M:%S"))
    ),
    Column(
        "merged",
        "Merged",
        "Updates that went into the new version, and how many would have been enough.",
        lambda pair: Cell(f"{pair[0].results['accepted']} (enough: {pair[0].quorum})"),
        right=True,
    ),
    Column("aside", "Set aside", "Updates that were not merged, and why.", lambda pair: _set_aside(pair[0])),
    Column(
        "ready",
        "Devices ready",
        "How many took part when it closed.",
        lambda pair: Cell(words.count(pair[0].ready)),
        right=True,
    ),
    Column(
        "lasted",
        "Took",
        "From its opening to its close.",
        lambda pair: Cell(words.duration(pair[0].lasted_s)),
        right=True,
    ),
    Column(
        "bytes",
        "Updates",
        "Bytes of all updates that came.",
        lambda pair: Cell(words.data(pair[0].update_bytes)),
        right=True,
    ),
    Column(
        "loss",
        "Error",
        "Mean over the devices, before and after they learned from their samples; lower is better.",
        lambda pair: _error(pair[0]),
        right=True,
    ),
)
