"""The coordinator: whether all is well with it, and what happened."""

from dataclasses import dataclass

from nicegui import ui

from .. import words
from ..store import Reading
from ..views import coordinator, periods
from .charts import BLUE, SAND, TEAL, Series, lines
from .parts import Card, Chart, Facts, Lines
from .shell import Shell

NOTHING = "The coordinator has told nothing of itself yet."
TONES = ("good", "watch", "visit")


@dataclass(frozen=True)
class Values:
    """All that the page shows."""

    health: coordinator.Health
    model: str
    site: str
    now_ns: int


def read(at: Reading, over: periods.Period) -> Values:
    """See Values."""
    return Values(coordinator.health(at, over), at.model, at.site, at.now_ns)


async def page(shell: Shell) -> None:
    """Build it and bring it to life."""
    with ui.element("div").classes("cards"):
        with Card("Is all well?", "What should be so of the coordinator."):
            checks = Lines(NOTHING)
            facts = Facts()
        with Card("What happened", "Newest first."):
            events = Lines("Nothing has happened yet.")
        commit = Chart(
            "Time to keep a message",
            "Until it is safe on the disk; the device gets its receipt after that.",
            NOTHING,
            low=True,
        )
        processor = Chart("Processor", "Of one core, all of its processes.", NOTHING, low=True)
        memory = Chart("Memory", "Of all of its processes.", NOTHING, low=True)
        queue = Chart("Messages that wait", "To be kept.", NOTHING, low=True)

    def show(found: Values, over: periods.Period) -> None:
        health = found.health
        checks.show([(TONES[check.code], check.text, "") for check in health.checks])
        facts.show(_facts(found) if health.values else ())
        events.show([_event(event, found.now_ns) for event in health.events])
        for at, (chart, colour, unit) in enumerate(
            (
                (commit, TEAL, "milliseconds"),
                (processor, BLUE, "percent"),
                (memory, SAND, "bytes"),
                (queue, TEAL, "count"),
            )
        ):
            points = [(row[0] or 0.0, row[at + 1]) for row in health.steps]
            known = any(value is not None for _, value in points)
            chart.show(lines([Series("mean", colour, points, area=True)], over, unit, low=0.0) if known else None)

    await shell.arrive("/coordinator", "Coordinator", read, show)


def _facts(found: Values) -> list[tuple[str, str]]:
    values = found.health.values
    facts = [("Site", found.site or words.NONE), ("Model", found.model or words.NONE)]
    for name, field, write in (
        ("Its starts", "epoch", words.count),
        ("Memory", "memory_bytes", words.data),
        ("Processor", "cpu_percent", words.percent),
        ("Free on the disk", "disk_free_bytes", words.data),
    ):
        if field in values:
            facts.append((name, write(values[field])))
    return facts


def _event(event: coordinator.Event, now_ns: int) -> tuple[str, str, str]:
    tone = {"trouble": "visit", "rollback": "visit", "restart": "watch"}.get(event.kind, "good")
    return tone, event.text, words.moment(event.time_ns, now_ns)
