"""The terminal while a run goes on: what is being done, and the rounds as they close.

On a terminal wide enough one panel is redrawn in place below the lines already said; elsewhere (a pipe, a CI log,
a narrow or dumb terminal) the same facts are plain lines. Ctrl-C leaves the cursor visible and the last panel
standing. The screen only says what it is given: it measures nothing but the time since it was entered.
"""

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from experiments.results import (
    Curve,
    RoundRow,
    bytes_text,
    headline_samples,
    number_text,
    one_line,
    score_text,
    seconds_text,
)

LEAST_COLUMNS = 64  # a narrower terminal gets plain lines
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_COLUMNS = 24
REDRAWS_PER_S = 8
MOST_NOTES = 4  # in the panel; all are printed when their stage ends


def sparkline(values: Sequence[float], columns: int = SPARK_COLUMNS) -> str:
    """The whole history in at most `columns` characters, lowest to highest; a mean that is not finite is a space."""
    if not values:
        return ""
    width = min(columns, len(values))
    edges = [i * len(values) // width for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, span = min(finite, default=0.0), max(finite, default=0.0) - min(finite, default=0.0)
    return "".join(
        SPARKS[round((mean - low) / span * 7) if span else 0] if math.isfinite(mean) else " " for mean in means
    )


class Screen:
    """A context manager. Its methods may be called from any one thread at a time; none of them raises on odd text."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(highlight=False) if console is None else console
        self._clock = clock
        self._started_s = clock()
        self._rounds: list[RoundRow] = []
        self._devices_ready = 0
        self._total_rounds = 0
        self._stage = ""
        self._stage_started_s = self._started_s
        self._notes: list[str] = []  # of the present stage, while it is below in the panel
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None
        if self._can_redraw():
            self._live = Live(get_renderable=self._panel, console=self._console, refresh_per_second=REDRAWS_PER_S)

    def _can_redraw(self) -> bool:
        console = self._console
        tty = console.file.isatty() and console.is_terminal and not console.is_dumb_terminal
        return tty and console.width >= LEAST_COLUMNS and not console.options.ascii_only

    def __enter__(self) -> "Screen":
        self._started_s = self._stage_started_s = self._clock()
        if self._live is not None:
            try:
                self._live.start()
            except BaseException:
                self._live.stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stage(well=kind is None)
        self._stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            done = f" after round {self._rounds[-1].round_num}" if self._rounds else ""
            self._say(Text(f"Interrupted{done}.", "yellow"))

    # What the demo calls ---------------------------------------------------------------------------------

    def stage(self, text: str) -> None:
        """Begin a stage, ending the one before it."""
        self._end_stage()
        self._stage, self._stage_started_s = one_line(text), self._clock()
        if self._live is None:
            self._say(Text(self._stage, "bold"))

    def note(self, text: str) -> None:
        """Say one thing about the present stage; it stays on the screen."""
        if self._live is not None and self._stage:
            self._notes.append(one_line(text))
        else:
            self._say(_note(one_line(text)))

    def round(self, row: RoundRow, devices_ready: int, total_rounds: int) -> None:
        """Show a closed round."""
        self._rounds.append(row)
        self._devices_ready, self._total_rounds = devices_ready, total_rounds
        if self._live is None:
            self._say(Text(self._round_line(row)))

    def curves(self, curves: Sequence[Curve]) -> None:
        """Print the final table: score and loss on the device that never took part. The panel stays as it is."""
        self._end_stage()
        self._stop()
        columns = self._console.width if self._console.is_terminal else None
        for line in _curve_lines(tuple(curves), columns):
            self._say(line, timed=False)

    def done(self, path: Path) -> None:
        """Say where the report is: a file, or a directory with index.html."""
        self._end_stage()
        self._stop()
        page = (path / "index.html" if path.is_dir() else path).resolve()
        took = seconds_text(self._clock() - self._started_s)
        shown = Text(f"Done in {took}. Report: ", "bold")
        shown.append(one_line(page), f"bold cyan link {page.as_uri()}")
        self._say(shown, timed=False)

    # How it is shown -------------------------------------------------------------------------------------

    def _say(self, text: Text, timed: bool = True) -> None:
        """One line above the panel. Where nothing is redrawn it carries the time, since no clock stands below."""
        if timed and not self._console.is_terminal:
            text = Text.assemble(f"[{self._clock() - self._started_s:7.1f} s] ", text)
        encoding = self._console.encoding
        if not encoding.startswith("utf"):  # a letter the terminal does not have becomes "?"
            text = Text(text.plain.encode(encoding, "replace").decode(encoding))
        self._console.print(text, soft_wrap=True)

    def _end_stage(self, well: bool = True) -> None:
        """Move the present stage and its notes out of the panel, to the lines above it."""
        stage, notes, self._stage, self._notes = self._stage, self._notes, "", []
        if not stage or self._live is None:
            return
        took = seconds_text(self._clock() - self._stage_started_s)
        mark = ("✓ ", "green") if well else ("✗ ", "red")
        lines = [Text.assemble(mark, stage, ("  " + took, "dim")), *map(_note, notes)]
        self._say(Text("\n").join(lines))

    def _stop(self) -> None:
        """Leave the panel standing, give the cursor back; from here on lines are plain."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _totals(self) -> dict[str, int]:
        names = ("accepted", "late", "stale", "bytes_up", "bytes_down")
        return {name: sum(getattr(row, name) for row in self._rounds) for name in names}

    def _round_line(self, row: RoundRow) -> str:
        totals = self._totals()
        return (
            f"round {row.round_num}/{self._total_rounds}  devices ready {self._devices_ready}  "
            f"accepted {row.accepted} late {row.late} stale {row.stale}  "
            f"up {bytes_text(row.bytes_up)} (total {bytes_text(totals['bytes_up'])})  "
            f"down {bytes_text(row.bytes_down)} (total {bytes_text(totals['bytes_down'])})  "
            f"query loss {number_text(row.query_loss_before)} -> {number_text(row.query_loss_after)}"
        )

    def _panel(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._rounds:
            parts.append(Padding(self._facts(), (1, 0, 0, 0)))
        if self._stage:
            self._spinner.update(text=Text(self._stage, no_wrap=True, overflow="ellipsis"))
            parts.append(self._spinner)
            parts += [_note(note, no_wrap=True) for note in self._notes[-MOST_NOTES:]]
        return Group(*parts)

    def _facts(self) -> Table:
        totals, row = self._totals(), self._rounds[-1]
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(style="dim", no_wrap=True, width=11)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        grid.add_row("rounds", self._progress())
        grid.add_row("devices", _facts_text((f"{self._devices_ready}", "ready")))
        missed = [(f"{totals[name]}", name) for name in ("late", "stale")]
        grid.add_row("updates", _facts_text((f"{totals['accepted']:,}", "accepted"), *missed))
        up, down = bytes_text(totals["bytes_up"]), bytes_text(totals["bytes_down"])
        grid.add_row("bytes", _facts_text((up, "up"), (down, "down")))
        loss = Text.assemble((number_text(row.query_loss_before), "bold"), (" → ", "dim"))
        loss.append(number_text(row.query_loss_after), "bold")
        loss.append("  before → after adapting  ", "dim")
        loss.append(sparkline([row.query_loss_after for row in self._rounds]), "cyan")
        grid.add_row("query loss", loss)
        return grid

    def _progress(self) -> Table:
        closed, total = len(self._rounds), max(self._total_rounds, len(self._rounds))
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, style="dim", justify="right", min_width=10)
        bar = ProgressBar(total=total, completed=closed, complete_style="cyan", finished_style="green")
        line.add_row(bar, f"{closed}/{total}", seconds_text(self._clock() - self._started_s))
        return line


def _note(text: str, no_wrap: bool = False) -> Text:
    return Text("  " + text, "dim", no_wrap=no_wrap, overflow="ellipsis")


def _facts_text(*facts: tuple[str, str]) -> Text:
    """Numbers in bold, each before its word."""
    text = Text()
    for number, word in facts:
        text.append(number, "bold").append(f" {word}   ", "dim")
    return text


def _curve_lines(curves: tuple[Curve, ...], columns: int | None) -> list[Text]:
    """A table of the scores, then one of the losses."""
    curves = tuple(curve for curve in curves if curve.samples)
    if not curves:
        return []
    scores = [[score_text(curve, score) for score in curve.score] for curve in curves]
    losses = [[number_text(loss) for loss in curve.loss] for curve in curves]
    blank, name = [Text()], f"{curves[0].score_name} after"
    score_lines, loss_lines = _table(name, curves, scores, columns), _table("loss after", curves, losses, columns)
    return blank + score_lines + blank + loss_lines + blank


def _table(title: str, curves: tuple[Curve, ...], cells: Sequence[Sequence[str]], columns: int | None) -> list[Text]:
    """A line for each curve, a column for each sample count; where that is too wide, only the telling counts.

    The counts a headline quotes are bold.
    """
    quoted = headline_samples(curves)
    counts = sorted({n for curve in curves for n in curve.samples})
    first = max(len(title), *(len(one_line(curve.label)) for curve in curves)) + 2
    width = max(len(cell) for row in cells for cell in row) + 2
    word = "  samples"
    if columns is not None and first + width * len(counts) + len(word) > columns:
        counts, word = sorted({*quoted, counts[-1]}), ""
    lines = [Text(f"{title:<{first}}" + "".join(f"{n:>{width}}" for n in counts) + word, "dim")]
    for curve, row in zip(curves, cells, strict=True):
        shown = dict(zip(curve.samples, row, strict=True))
        line = Text(f"{one_line(curve.label):<{first}}")
        for n in counts:
            line.append(f"{shown.get(n, '-'):>{width}}", "bold" if n in quoted else "")
        lines.append(line)
    return lines
