"""Learning: whether the error still falls, how soon a device adapts, and which ones gain least."""

from dataclasses import dataclass

from nicegui import ui

from coordinator.trouble import WORSE_ROUNDS

from .. import words
from ..store import Reading
from ..views import periods
from ..views.fleet import newest_version
from ..views.learning import Curve, Gain, Learning, gains, learning
from .charts import CLAY, GREY, TEAL, Series, curves, lines
from .listing import Cell, Column, Listing
from .parts import Card, Chart, Tile
from .shell import Shell

SHOWN = 10
LEAST_GAIN = 0.05  # of the error, to speak of a gain


@dataclass(frozen=True)
class Values:
    """All that the page shows."""

    learning: Learning
    least: tuple[Gain, ...]
    version: int


def read(at: Reading, over: periods.Period) -> Values:
    """See Values."""
    return Values(learning(at, over), gains(at, SHOWN), newest_version(at))


async def page(shell: Shell) -> None:
    """Build it and bring it to life."""
    with ui.element("div").classes("tiles"):
        tiles = [
            Tile("Is it still learning?"),
            Tile("How wrong is it now?"),
            Tile("How soon does a device adapt?"),
            Tile("Which version is the newest?"),
        ]
    loss = Chart(
        "Error over time",
        "Mean over the devices, on samples that they had not learned from: with the version as it came, and after their own samples. "
        "Lower is better. Dotted: the coordinator restarted, or took a version back.",
        "No round with an error has closed yet.",
        wide=True,
    )
    with ui.element("div").classes("cards"):
        curve = Chart(
            "How soon a device adapts",
            "Mean error after so many samples of its own, starting from the shared version. The faster it falls the better.",
            "No device has told its adaptation curve yet.",
        )
        with Card(
            "Devices that gain least",
            f"By how much their own samples lower their error; mean of the last {WORSE_ROUNDS} rounds.",
        ):
            listing: Listing[Gain] = Listing(COLUMNS, lambda gain: gain.device, opens=True)

    def show(found: Values, over: periods.Period) -> None:
        _show_tiles(tiles, found)
        loss.show(_losses(found.learning, over) if found.learning.losses else None)
        curve.show(_curves(found.learning))
        listing.show(found.least, "No device has told its error yet.")

    await shell.arrive("/learning", "Learning", read, show)


def _show_tiles(tiles: list[Tile], found: Values) -> None:
    trend, told = found.learning.trend, [row for row in found.learning.losses if row[2] is not None]
    tone = {"worse": "watch", "improving": "good", "steady": "good"}.get(trend.words, "")
    more = f"error {words.change(trend.percent)} than at the start of this period"
    more = (
        more
        if trend.words in ("improving", "worse")
        else "the error hardly changes"
        if trend.words
        else "after six rounds there is something to say"
    )
    tiles[0].show(words.TREND_WORDS[trend.words], more, tone, [row[2] for row in told])
    last = told[-1] if told else (None, None, None)
    tiles[1].show(
        words.number(last[2]),
        f"after its own samples; {words.number(last[1])} before" if told else "no round has told yet",
    )
    tiles[2].show(*_soon(found.learning.now))
    tiles[3].show(str(found.version) if found.version else words.NONE, "of the shared start of every device")


def _soon(curve: Curve | None) -> tuple[str, str]:
    """After how many samples most of the gain is made."""
    if curve is None or len(curve.points) < 2:
        return words.NONE, "no device has told its curve yet"
    first, best = curve.points[0][1], min(loss for _, loss in curve.points)
    if best >= first:
        return "Not yet", "its own samples do not lower its error"
    if first - best < LEAST_GAIN * first:
        return "At once", "the shared version is as good as it gets; own samples change little"
    enough = next(samples for samples, loss in curve.points if first - loss >= 0.8 * (first - best))
    return words.many(enough, "sample"), f"make four fifths of the gain; mean of {words.many(curve.devices, 'device')}"


def _losses(found: Learning, over: periods.Period) -> dict[str, object]:
    before = Series("as it came", CLAY, [(row[0] or 0.0, row[1]) for row in found.losses])
    after = Series("after its own samples", TEAL, [(row[0] or 0.0, row[2]) for row in found.losses], area=True)
    return lines([before, after], over, marks=found.marks, low=0.0)


def _curves(found: Learning) -> dict[str, object] | None:
    shown = []
    if found.now is not None:
        shown.append((f"now, from version {_versions(found.now)}", TEAL, found.now))
    if found.first is not None:
        shown.append((f"at first, from version {_versions(found.first)}", GREY, found.first))
    return curves(shown) if shown else None


def _versions(curve: Curve) -> str:
    return str(curve.newest) if curve.oldest == curve.newest else f"{curve.oldest} to {curve.newest}"


COLUMNS: tuple[Column[Gain], ...] = (
    Column("name", "Device", "Its name at the broker.", lambda gain: Cell(gain.device, href=f"/device/{gain.device}")),
    Column(
        "before",
        "As it came",
        "Its error with the shared version.",
        lambda gain: Cell(words.number(gain.before)),
        right=True,
    ),
    Column(
        "after",
        "After its samples",
        "Its error after it learned from its own samples.",
        lambda gain: Cell(words.number(gain.after)),
        right=True,
    ),
    Column(
        "gain",
        "Gain",
        "By how much its own samples lowered its error.",
        lambda gain: Cell(words.percent(gain.percent)),
        right=True,
    ),
)
