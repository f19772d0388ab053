"""The same in a terminal: the devices with most to do, the last rounds, the error as a line of blocks, bytes and energy.

It fills the terminal it has (80 by 24 is enough) and needs no keys; Ctrl-C ends it. Where the output is no terminal one
snapshot with every device is printed.
"""

import signal
import threading
import time
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coordinator.trouble import in_words

from . import words
from .store import Reading, Store, StoreError
from .views import costs, learning, periods, rounds
from .views.fleet import Device, Fleet, fleet

LOOK_S = 0.5
WORDS_S = 5.0  # after which "20 s ago" is said anew
ROUNDS_SHOWN = 3
OTHER_LINES = 14  # around the devices: head, heads of columns, rounds, totals
SPARK_COLUMNS = 30
TONES = ("green", "yellow", "red")
STATE_STYLES = {
    "ready": "green",
    "sleeping": "blue",
    "offline": "dim",
    "refused": "magenta",
    "lost": "yellow",
    "silent": "red",
}


@dataclass(frozen=True)
class Values:
    """All that is shown."""

    site: str
    model: str
    late: bool
    quiet_s: float
    over: periods.Period
    fleet: Fleet
    rounds: tuple[rounds.Round, ...]
    now_ns: int
    losses: list[tuple[float | None, ...]]
    trend: learning.Trend
    bytes: costs.Steps
    joules: float


def read(at: Reading) -> Values:
    """See Values."""
    over = periods.period(at)
    return Values(
        at.site,
        at.model,
        at.late,
        at.quiet_s,
        over,
        fleet(at),
        rounds.latest(at, ROUNDS_SHOWN),
        at.now_ns,
        periods.means(at, "round", ("loss_before", "loss_after"), over),
        learning.trend(at, over),
        costs.byte_steps(at, over),
        sum(sum(values) for _, values in costs.energy_steps(at, over)),
    )


def watch(store: Store, console: Console | None = None) -> None:
    """Show it until Ctrl-C (KeyboardInterrupt) or SIGTERM; once, where nothing can be redrawn. StoreError at the first look only."""
    console = console or Console(highlight=False)
    found = _look(store)
    if not console.is_terminal or console.is_dumb_terminal or console.options.ascii_only:
        _print(console, picture(found, console.width, None))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ended = threading.Event()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        stamp, shown_s, size = store.stamp(), 0.0, (0, 0)
        while True:
            seen, now_s, wide = store.stamp(), time.monotonic(), console.size
            if seen != stamp or now_s - shown_s > WORDS_S or wide != size:
                stamp, shown_s, size = seen, now_s, wide
                try:
                    shown = picture(_look(store), wide.width, wide.height)
                except StoreError as error:
                    shown = _text(f"{str(error)[:1].upper()}{str(error)[1:]}.", "red")
                live.update(shown, refresh=True)
            ended.wait(LOOK_S)


def _print(console: Console, shown: RenderableType) -> None:
    """Once; a letter that the output does not have becomes a question mark."""
    with console.capture() as capture:
        console.print(shown)
    console.file.write(capture.get().encode(console.encoding, "replace").decode(console.encoding))


def _look(store: Store) -> Values:
    with store.reading() as at:
        return read(at)


def picture(found: Values, width: int, height: int | None) -> RenderableType:
    """Lines for so many columns and rows. height None: as many as it takes."""
    most = None if height is None else max(1, height - OTHER_LINES)
    parts: list[RenderableType] = [_head(found), _summary(found), Text()]
    parts += _devices(found.fleet, width, most)
    parts += [Text(), *_rounds(found), Text(), *_totals(found)]
    return Group(*parts)


def _line(*parts: str | tuple[str, str]) -> Text:
    told = [_text(part) if isinstance(part, str) else _text(*part) for part in parts]
    return Text.assemble(*told, no_wrap=True, overflow="ellipsis")


def _text(text: str, style: str = "") -> Text:
    """The only way for words into the picture: they may be a device's, and must not be orders to the terminal."""
    return Text(words.plain(text), style)


def _head(found: Values) -> Text:
    if found.late:
        alive = (f"nothing was written for {in_words(found.quiet_s)}: is the coordinator running?", "yellow")
    elif found.rounds:
        alive = (f"live, round closed {words.ago((found.now_ns - found.rounds[0].closed_ns) / 1e9)}", "green")
    else:
        alive = ("live, no round has closed yet", "green")
    where = "  ".join(word for word in (found.site, found.model) if word)
    return _line(("Tegu  ", "bold"), f"{where}  " if where else "", alive)


def _summary(found: Values) -> Text:
    devices = found.fleet.devices
    if not devices:
        return _line("No device has been heard of yet.")
    visit, watch_it = found.fleet.count(2), found.fleet.count(1)
    there = f"{found.fleet.heard} of {len(devices)} devices there"
    visits = (f"{visit} {'needs' if visit == 1 else 'need'} a visit", "bold red" if visit else "green")
    return _line((there, "bold"), ", ", visits, f", {watch_it} to keep an eye on, version {found.fleet.version}")


def _devices(found: Fleet, width: int, most: int | None) -> list[RenderableType]:
    shown = found.devices[:most]
    if not shown:
        return []
    names = max(cell_len(words.plain(device.name)) for device in shown)
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim", show_edge=False)
    table.add_column("device", no_wrap=True, width=max(6, min(names, width // 4)), overflow="ellipsis")
    table.add_column("state", no_wrap=True, width=12)
    table.add_column("what is the matter", no_wrap=True, ratio=1, overflow="ellipsis")
    table.add_column("heard", no_wrap=True, width=10)
    table.add_column("behind", no_wrap=True, width=6, justify="right")
    table.add_column("battery", no_wrap=True, width=7, justify="right")
    for device in shown:
        table.add_row(*_row(device))
    rest = found.devices[len(shown) :]
    if not rest:
        return [table]
    in_need = sum(device.trouble_code > 0 for device in rest)
    return [
        table,
        _line((f"and {len(rest):,} more, {f'{in_need} of them in need' if in_need else 'all of them fine'}", "dim")),
    ]


def _row(device: Device) -> tuple[Text, ...]:
    tone = TONES[device.trouble_code]
    return (
        _text(device.name),
        _text(words.STATE_WORDS.get(device.state, device.state), STATE_STYLES.get(device.state, "")),
        _text(device.trouble or words.NONE, tone if device.trouble else "dim"),
        _text(words.ago(device.heard_s)),
        _text(str(device.behind) if device.behind else words.NONE),
        _text(words.percent(device.battery_percent)),
    )


def _rounds(found: Values) -> list[RenderableType]:
    if not found.rounds:
        return [_line("No round has closed yet.")]
    made: list[RenderableType] = []
    for one in found.rounds:
        aside = sum(one.results.values()) - one.results["accepted"]
        text = (
            f"round {one.number}, {words.ago((found.now_ns - one.closed_ns) / 1e9)}: {one.results['accepted']} merged"
        )
        text += f", {aside} set aside" if aside else ""
        text += f", took {words.duration(one.lasted_s)}"
        if one.loss_after is not None:
            text += f", error {words.number(one.loss_before)} to {words.number(one.loss_after)}"
        made.append(_line(text))
    return made


def _totals(found: Values) -> list[RenderableType]:
    when = words.PERIOD_WORDS[found.over.word]
    trend = words.TREND_WORDS[found.trend.words].lower()
    change = f", {words.change(found.trend.percent)}" if found.trend.words in ("improving", "worse") else ""
    line = words.spark([row[2] for row in found.losses], SPARK_COLUMNS)
    down, up, reports, dense = (sum(values[at] for _, values in found.bytes) for at in range(4))
    instead = f" (uncompressed: {words.data(dense)})" if dense else ""
    return [
        _line(("error   ", "dim"), (line, "cyan"), f"  {trend}{change}"),
        _line(
            ("bytes   ", "dim"),
            f"{words.data(down)} model, {words.data(up)} updates{instead}, {words.data(reports)} reports",
        ),
        _line(("energy  ", "dim"), f"{words.energy(found.joules)} {when}"),
    ]
