"""The first page: four questions and their answers, then every device, the one with most to do first."""

from dataclasses import dataclass

from nicegui import ui

from coordinator.metrics import STATES
from coordinator.trouble import BATTERY_PERCENT, BATTERY_PERCENT_BAD, STARTS_A_DAY

from .. import words
from ..store import Reading
from ..views import coordinator, costs, learning, periods
from ..views.fleet import Device, Fleet, fleet, natural
from .charts import STATE_COLOURS, Series, lines
from .choice import Choice
from .listing import Cell, Column, Listing
from .parts import Card, Chart, Lines, Tile, show_none
from .shell import Shell

LATELY = 8
NO_DEVICES = "No device has been heard of yet. Start one with: tegu agent NAME --host BROKER"


@dataclass(frozen=True)
class Values:
    """All that the page shows."""

    fleet: Fleet
    trend: learning.Trend
    losses: list[tuple[float | None, ...]]
    bytes: float
    joules: float
    events: tuple[coordinator.Event, ...]
    counts: list[tuple[float | None, ...]]  # time, devices in each of STATES
    now_ns: int
    late: bool  # nothing was written for a while: nobody knows how things are now


def read(at: Reading, over: periods.Period) -> Values:
    """See Values."""
    return Values(
        fleet(at),
        learning.trend(at, over),
        periods.means(at, "round", ("loss_after",), over),
        sum(sum(values[:3]) for _, values in costs.byte_steps(at, over)),
        sum(sum(values) for _, values in costs.energy_steps(at, over)),
        coordinator.events(at, LATELY),
        periods.means(at, "fleet", tuple(STATES), over),
        at.now_ns,
        at.late,
    )


async def page(shell: Shell) -> None:
    """Build it and bring it to life."""
    with ui.element("div").classes("tiles"):
        tiles = [
            Tile("Is every device there?"),
            Tile("Does one need a visit?"),
            Tile("Is it still learning?"),
            Tile("What does it cost?"),
        ]
    with Card("Devices", "The one with most to do comes first.", wide=True):
        choice = Choice()
        listing: Listing[Device] = Listing(COLUMNS, lambda device: device.name, opens=True)
    with ui.element("div").classes("cards"):
        states = Chart("Devices by state", "How many were in each state.", "Nothing has been counted yet.", low=True)
        with Card("Lately", "What happened last."):
            lately = Lines("Nothing has happened yet.")

    def show_devices(found: Fleet) -> None:
        listing.show(choice.of(found), "No device is like that." if found.devices else NO_DEVICES)

    def show(found: Values, over: periods.Period) -> None:
        _show_tiles(tiles, found, over)
        choice.show(found.fleet, lambda: show_devices(found.fleet))
        show_devices(found.fleet)
        states.show(_states(found, over) if found.counts else None)
        lately.show([_event(event, found.now_ns) for event in found.events])

    await shell.arrive("/", "Fleet", read, show)


def _show_tiles(tiles: list[Tile], found: Values, over: periods.Period) -> None:
    devices, states = found.fleet.devices, found.fleet.states
    if not devices:
        show_none(tiles, "no device has been heard of yet")
        return
    fine = "" if found.late else "good"
    missing = [f"{number} {words.STATE_WORDS[state].lower()}" for state, number in states.items() if state != "ready"]
    all_there = found.fleet.heard == len(devices)
    there = f"All {len(devices):,}" if all_there else f"{found.fleet.heard:,} of {len(devices):,}"
    tiles[0].show(there, ", ".join(missing) or "all of them take part", fine if all_there else "watch")
    visit, watch = found.fleet.count(2), found.fleet.count(1)
    more = f"{words.many(watch, 'device')} to keep an eye on" if watch else "nothing else to keep an eye on"
    tiles[1].show(
        words.many(visit, "device") if visit else "None", more, "visit" if visit else "watch" if watch else fine
    )
    trend, losses = found.trend, [row[1] for row in found.losses]
    told = f"error {words.number(trend.first)} → {words.number(trend.last)} {words.PERIOD_WORDS[over.word]}"
    tone = {"worse": "watch", "improving": fine, "steady": fine}.get(trend.words, "")
    tiles[2].show(
        words.TREND_WORDS[trend.words],
        told if trend.words else "after six rounds there is something to say",
        tone,
        losses,
    )
    each = f"{words.data(found.bytes / len(devices))} and {words.energy(found.joules / len(devices))} a device"
    cost = f"{words.tight(words.data(found.bytes))} · {words.tight(words.energy(found.joules))}"
    tiles[3].show(cost, f"{words.PERIOD_WORDS[over.word]}; {each}")


def _states(found: Values, over: periods.Period) -> dict[str, object]:
    series = []
    for at, state in enumerate(STATES):
        points = [(row[0] or 0.0, row[at + 1]) for row in found.counts]
        if any(value for _, value in points):
            series.append(Series(words.STATE_WORDS[state], STATE_COLOURS[state], points))
    return lines(series, over, "count", low=0.0)


def _event(event: coordinator.Event, now_ns: int) -> tuple[str, str, str]:
    tone = {"trouble": "visit", "rollback": "visit", "restart": "watch"}.get(event.kind, "good")
    text = event.text[:1].upper() + event.text[1:] if event.kind != "trouble" else event.text
    return tone, text, words.moment(event.time_ns, now_ns)


def _battery(device: Device) -> Cell:
    level = device.battery_percent
    if level is None:
        return Cell(words.NONE, quiet=True)
    tone = "visit" if level <= BATTERY_PERCENT_BAD else "watch" if level <= BATTERY_PERCENT else ""
    return Cell(words.percent(level), tone, bar=level)


def _trouble(device: Device) -> Cell:
    tone = ("", "watch", "visit")[device.trouble_code]
    return Cell(device.trouble or words.NONE, tone, quiet=not device.trouble)


COLUMNS: tuple[Column[Device], ...] = (
    Column(
        "name",
        "Device",
        "Its name at the broker.",
        lambda device: Cell(device.name, href=f"/device/{device.name}"),
        lambda device: natural(device.name),
        falling=False,
    ),
    Column(
        "state",
        "State",
        "What it is now: ready, sleeping, switched off, link lost, or silent.",
        lambda device: Cell(words.STATE_WORDS.get(device.state, device.state), dot=device.state),
        lambda device: STATES.get(device.state, 0),
    ),
    Column(
        "trouble", "What is the matter", "Why someone should look at it.", _trouble, lambda device: device.trouble_code
    ),
    Column(
        "heard",
        "Last heard",
        "When anything came from it.",
        lambda device: Cell(words.ago(device.heard_s)),
        lambda device: device.heard_s,
    ),
    Column(
        "behind",
        "Behind",
        "Versions that it is behind the newest.",
        lambda device: Cell(words.count(device.behind) if device.behind else "up to date", quiet=not device.behind),
        lambda device: device.behind,
        right=True,
    ),
    Column(
        "battery",
        "Battery",
        "Charge of its battery; a dash: it has none or does not say.",
        _battery,
        lambda device: device.battery_percent,
        falling=False,
    ),
    Column(
        "starts",
        "Starts in 24 h",
        "How often it started anew in the last day.",
        lambda device: Cell(
            str(device.starts), "watch" if device.starts >= STARTS_A_DAY else "", quiet=device.starts < STARTS_A_DAY
        ),
        lambda device: device.starts,
        right=True,
    ),
    Column(
        "gap",
        "Counts apart",
        "Bytes on which its own count and the coordinator's differ.",
        lambda device: Cell(words.data(device.gap_bytes) if device.gap_bytes else "none", quiet=not device.gap_bytes),
        lambda device: device.gap_bytes,
        right=True,
    ),
    Column(
        "loss",
        "Error after learning",
        "How wrong it is on samples that it did not learn from; lower is better.",
        lambda device: Cell(words.number(device.loss_after), quiet=device.loss_after is None),
        lambda device: device.loss_after,
        right=True,
    ),
)
