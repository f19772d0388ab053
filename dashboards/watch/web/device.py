"""The page of one device."""

from nicegui import ui

from coordinator.metrics import BYTE_CLASSES, CHANNELS

from .. import words
from ..store import Reading
from ..views import periods
from ..views.device import DeviceView, device
from .charts import BLUE, CLAY, GREY, SAND, TEAL, VIOLET, Series, bars, curves, lines
from .parts import Card, Chart, Facts, state_strip
from .shell import Shell
from .traffic import CLASS_COLOURS

TONES = ("good", "watch", "visit")
NOTHING = "It has not told this yet."


class Head:
    """Its name, its state, what is the matter with it, and the strip of its states."""

    def __init__(self, name: str) -> None:
        with ui.element("div").classes("device-head"):
            ui.link("\N{LEFTWARDS ARROW} Fleet", "/").classes("back")
            with ui.element("div").classes("device-name"):
                ui.label(name).props("role=heading aria-level=1")
                with ui.element("span").classes("pill") as self._pill:
                    self._dot = ui.element("span").classes("dot")
                    self._state = ui.label()
            self._told = ui.label().classes("device-told")
            self._strip = ui.html(sanitize=False).classes("strip-place")
            self._when = ui.label().classes("card-caption")

    def show(self, found: DeviceView | None, over: periods.Period) -> None:
        if found is None:
            self._state.set_text("Not known")
            self._told.set_text("The store knows no device of this name.")
            return
        told = found.device
        self._dot.classes(replace=f"dot state-{told.state}")
        self._state.set_text(words.STATE_WORDS.get(told.state, told.state))
        matter = (
            f"{words.TROUBLE_WORDS[told.trouble_code]}: {told.trouble}." if told.trouble else "Nothing is the matter."
        )
        self._told.set_text(f"{matter} Last heard {words.ago(told.heard_s)}.")
        self._told.classes(replace=f"device-told is-{TONES[told.trouble_code]}")
        self._strip.set_content(state_strip(found.stretches, over.start_ns, over.end_ns))
        self._when.set_text(f"Its states {words.PERIOD_WORDS[over.word]}.")


async def page(shell: Shell, name: str) -> None:
    """Build it and bring it to life."""
    head = Head(name)
    with ui.element("div").classes("cards") as cards:
        with Card("What is known of it", wide=True):
            facts = Facts(two=True)
        loss = Chart(
            "Error",
            "On samples that it did not learn from: as the version came, and after its own samples. Lower is better.",
            NOTHING,
        )
        curve = Chart(
            "How soon it adapts", "Its error after so many of its own samples, and the mean of all devices.", NOTHING
        )
        traffic = Chart("Bytes", "By what they are for.", NOTHING, low=True)
        energy = Chart("Energy", "All that it spent.", NOTHING, low=True)
        battery = Chart("Battery", "Its charge.", NOTHING, low=True)
        radio = Chart("Radio", "Strength of its link; closer to zero is stronger.", NOTHING, low=True)
        sensors = ui.element("div").classes("sensors")
    charts: dict[str, Chart] = {}

    def show(found: DeviceView | None, over: periods.Period) -> None:
        head.show(found, over)
        cards.set_visibility(found is not None)
        if found is None:
            return
        facts.show(_facts(found) + _counts(found))
        loss.show(_said(found, over, ((1, "as it came", CLAY), (2, "after its own samples", TEAL)), "number", 0.0))
        curve.show(_curves(found))
        traffic.show(_traffic(found, over))
        spent = [(row[0] or 0.0, row[1]) for row in found.energy_steps]
        energy.show(bars([Series("energy", VIOLET, spent)], over, "joules") if spent else None)
        for chart, at, title, unit, low in (
            (battery, 3, "charge", "percent", 0.0),
            (radio, 5, "strength in dBm", "number", None),
        ):
            drawn = _said(found, over, ((at, title, BLUE),), unit, low)
            chart.card.show(drawn is not None)
            chart.show(drawn)
        for channel, rows in found.readings.items():
            if channel not in charts:
                with sensors:
                    charts[channel] = Chart(_title(channel), "What its sensor reads.", NOTHING, low=True)
            points = [(row[0] or 0.0, row[1]) for row in rows]
            charts[channel].show(lines([Series(_title(channel), SAND, points)], over))

    def read(at: Reading, over: periods.Period) -> DeviceView | None:
        return device(at, name, over)

    await shell.arrive("/", name, read, show)


def _facts(found: DeviceView) -> list[tuple[str, str]]:
    told = found.device
    behind = (
        f"{told.version:,}, {told.behind:,} behind"
        if told.behind
        else f"{told.version:,}, the newest"
        if told.version
        else words.NONE
    )
    results = ", ".join(f"{number:,} {words.RESULT_WORDS[name]}" for name, number in found.results.items())
    facts = [("Version", behind), ("Starts in 24 h", f"{told.starts}; this is its start number {told.boot:,}")]
    volts = "" if told.battery_volts is None else f", {told.battery_volts:.2f} V"
    charge = words.percent(told.battery_percent) if told.battery_percent is not None else ""
    spent = found.spent
    for name, value in (
        ("Battery", (charge + volts).removeprefix(", ")),
        ("Radio", "" if told.rssi_dbm is None else f"{told.rssi_dbm:.0f} dBm"),
        ("Running for", "" if told.uptime_s is None else words.duration(told.uptime_s)),
        ("Free memory", "" if told.free_heap_bytes is None else words.data(told.free_heap_bytes)),
        ("Samples learned from", "" if found.samples is None else words.count(found.samples)),
        ("Updates sent", "" if found.updates is None else words.count(found.updates)),
        ("Their receipts", results),
        ("Readings that failed", words.count(told.sensor_failed) if told.sensor_failed else ""),
        (
            "Mean power",
            "" if spent is None or spent.watts is None else f"{words.power(spent.watts)} ({_known(spent.kind)})",
        ),
        (
            "Energy since its start",
            "" if spent is None else f"{words.energy(spent.total_joules)} ({_known(spent.kind)})",
        ),
    ):
        if value:
            facts.append((name, value))
    return facts


def _known(kind: str) -> str:
    return "measured" if kind == "measured" else "estimated"


def _counts(found: DeviceView) -> list[tuple[str, str]]:
    """Its bytes since its start, by both counts."""
    if found.counted is None:
        return []
    facts = []
    for name, word in (
        ("model_down", "Bytes of the model to it"),
        ("update_up", "Bytes of its updates"),
        ("telemetry_up", "Bytes of its reports"),
    ):
        told = found.counted.classes[name]
        agree = "both agree" if not told.gap else f"the coordinator counts {words.count(told.by_coordinator)}"
        facts.append((word, f"{words.count(told.by_device)}; {agree}"))
    return facts


def _said(
    found: DeviceView, over: periods.Period, columns: tuple[tuple[int, str, str], ...], unit: str, low: float | None
) -> dict[str, object] | None:
    """Lines of what it said of itself; None: it says nothing of these."""
    series = [Series(title, colour, [(row[0] or 0.0, row[at]) for row in found.said]) for at, title, colour in columns]
    known = any(value is not None for one in series for _, value in one.points)
    return lines(series, over, unit, low=low) if known else None


def _curves(found: DeviceView) -> dict[str, object] | None:
    if found.curve is None:
        return None
    shown = [("this device", TEAL, found.curve)]
    if found.fleet_curve is not None and found.fleet_curve.devices > 1:
        shown.append((f"mean of {found.fleet_curve.devices:,} devices", GREY, found.fleet_curve))
    return curves(shown)


def _traffic(found: DeviceView, over: periods.Period) -> dict[str, object] | None:
    if not found.bytes_steps:
        return None
    series = [
        Series(
            words.CLASS_WORDS[name], CLASS_COLOURS[name], [(row[0] or 0.0, row[at + 1]) for row in found.bytes_steps]
        )
        for at, name in enumerate(BYTE_CLASSES)
    ]
    return bars(series, over, "bytes")


def _title(channel: str) -> str:
    known = CHANNELS.get(channel)
    if known is None:
        return channel
    return f"{known.title} ({known.unit})" if known.unit else known.title
