"""The report of a run: one page a person reads, and the numbers behind it as files.

`write(result, folder)` makes a directory with `index.html`, `rounds.csv`, `devices.csv`, `curves.csv` and
`settings.json`. The page stands alone: styles and figures are inline, nothing is loaded, no script runs (its
Content-Security-Policy forbids both).

Top to bottom: writing, files, sections. Figures are drawn in `charts`, sentences made in `sentences`, and the
page's styles are report.css.
"""

import csv
import errno
import io
import json
import math
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from functools import partial
from importlib import resources
from itertools import accumulate, count
from pathlib import Path

from experiments import charts, sentences
from experiments.charts import Axis, Line, escaped
from experiments.results import (
    Curve,
    DeviceRow,
    Result,
    RoundRow,
    bytes_text,
    headline_samples,
    joules_text,
    one_line,
    score_text,
    seconds_text,
)

REST = "idle or not told apart"
MOST_SHOWN = 24  # devices shown one by one on the page; devices.csv has all
OURS, DOWN, BEFORE = 0, 3, 4  # styles of lines: colour, dashes and marker differ

# Colours after Okabe and Ito, told apart with any colour vision; text on its ground has contrast 4.5 or more.
STYLE = resources.files("experiments").joinpath("report.css").read_text(encoding="utf-8")


# Writing ------------------------------------------------------------------------------------------------


def write(result: Result, folder: Path) -> Path:
    """Make the report directory at `folder`, whole or not at all. Returns the directory made.

    Where `folder` already holds something, `folder-2`, `folder-3`, ... is made instead: no report is ever
    overwritten. Raises OSError if the parent cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir()
        for name, text in files(result):
            (part / name).write_text(text, encoding="utf-8", newline="")
        return _rename_to_a_free_name(part, folder)
    except BaseException:  # also Ctrl-C: nothing half-written stays
        shutil.rmtree(part, ignore_errors=True)
        raise


def _rename_to_a_free_name(part: Path, folder: Path) -> Path:
    """The rename is the test: of two runs that want one name, the system lets one have it."""
    for number in count(1):
        wanted = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            return part.rename(wanted)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
    raise AssertionError("count() does not end")


def files(result: Result) -> Iterator[tuple[str, str]]:
    """The files of the report, name and text, each made when asked for; the page comes last."""
    yield "rounds.csv", _rows_csv(RoundRow, result.rounds)
    yield "devices.csv", _rows_csv(DeviceRow, result.devices)
    yield "curves.csv", _curves_csv(result.curves)
    yield "settings.json", json.dumps(_as_json(result.settings), indent=2, ensure_ascii=False) + "\n"
    yield "index.html", page(result)


# Files --------------------------------------------------------------------------------------------------


def _rows_csv(kind: type[RoundRow] | type[DeviceRow], rows: Iterable[RoundRow | DeviceRow]) -> str:
    """A table with the dataclass's fields as columns; floats in full."""
    return _csv([field.name for field in fields(kind)], (astuple(row) for row in rows))


def _curves_csv(curves: Iterable[Curve]) -> str:
    """One line for each point of each curve."""
    points = (
        (curve.label, curve.score_name, samples, loss, score)
        for curve in curves
        for samples, loss, score in zip(curve.samples, curve.loss, curve.score, strict=True)
    )
    return _csv(["label", "score_name", "samples", "loss", "score"], points)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    """Names come from devices: one that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = one_line(value)
        return "'" + text if text.startswith(("=", "+", "-", "@")) else text
    return value


def _as_json(value: object) -> object:
    """What JSON can hold; nan and infinity, which it cannot, as text."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value).encode("utf-8", "replace").decode()


# Sections -----------------------------------------------------------------------------------------------


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{sections}</main>
</body>
</html>
"""


def page(result: Result) -> str:
    """The whole page, HTML."""
    parts = (_head, _data, _adaptation, _rounds, _sent, _energy, _devices, _repeat, _notes)
    sections = "".join(part(result) for part in parts)
    return PAGE.format(title=escaped(result.title), style=STYLE, sections=sections)


def _badge(simulated: bool) -> str:
    return '<b class="badge simulated">SIMULATED</b>' if simulated else '<b class="badge">real data</b>'


def _section(title: str, lead: str, body: str) -> str:
    lead = f'<p class="lead">{escaped(lead)}</p>\n' if lead else ""
    return f"<section>\n<h2>{escaped(title)}</h2>\n{lead}{body}</section>\n"


def _head(result: Result) -> str:
    unseen = f"{escaped(result.unseen)} {_badge(result.unseen_simulated)}"
    return (
        f'<header>\n<p class="eyebrow">Tegu report <span>task {escaped(result.task)}</span></p>\n'
        f"<h1>{escaped(result.title)}</h1>\n"
        f'<p class="unseen"><span>Never took part:</span> {unseen}</p>\n'
        f'<p class="verdict">{escaped(sentences.headline(result.curves))}</p>\n'
        f"{_headline_table(result.curves)}{_facts(result)}</header>\n"
    )


def _headline_table(curves: tuple[Curve, ...]) -> str:
    """A line for each start, the score at the two headline sample counts; the best of a column is marked."""
    shown = headline_samples(curves)
    if not shown:
        return ""
    heads = "".join(f'<th scope="col">after {sentences.count_text(n, "sample")}</th>' for n in shown)
    rows = "".join(_headline_row(curves, place, shown) for place in range(len(curves)))
    better = "lower is better" if curves[0].lower_is_better else "higher is better"
    return (
        f'<table class="headline">\n<caption>{sentences.capitalised(curves[0].score_name)} there ({better}'
        f"{sentences.score_meaning(curves[0])}). Bold: best of the column.</caption>\n"
        f'<thead><tr><th scope="col">Starting from</th>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table>\n"
    )


def _headline_row(curves: tuple[Curve, ...], place: int, shown: tuple[int, ...]) -> str:
    cells = "".join(_headline_cell(curves, curves[place], samples) for samples in shown)
    return f'<tr><th scope="row">{charts.line_key(place)}{escaped(curves[place].label)}</th>{cells}</tr>\n'


def _headline_cell(curves: tuple[Curve, ...], curve: Curve, samples: int) -> str:
    score = curve.score_after(samples)
    finite = [s for c in curves if math.isfinite(s := c.score_after(samples))]
    best = (min if curve.lower_is_better else max)(finite, default=math.nan)
    shown = score_text(curve, score)
    return f"<td><b>{shown}</b></td>" if shown == score_text(curve, best) and finite else f"<td>{shown}</td>"


def _facts(result: Result) -> str:
    sent, dense = sum(d.bytes_up for d in result.devices), sum(d.dense_bytes_up for d in result.devices)
    simulated = sum(d.simulated for d in result.devices)
    less = f"{sentences.times_text(dense / sent)} times less than dense" if sent else "no update sent"
    facts = (
        ("Devices", str(len(result.devices)), f"{simulated} SIMULATED" if simulated else "all real data"),
        ("Rounds", str(len(result.rounds)), f"in {seconds_text(result.seconds)}"),
        ("Updates merged", f"{sum(r.accepted for r in result.rounds):,}", sentences.missed(result.rounds)),
        ("Sent up", bytes_text(sent), less),
    )
    items = "".join(
        f"<div><dt>{name}</dt><dd>{escaped(value)}<small>{escaped(more)}</small></dd></div>"
        for name, value, more in facts
    )
    return f'<dl class="facts">{items}</dl>\n'


def _data(result: Result) -> str:
    unseen = "SIMULATED data" if result.unseen_simulated else "real data"
    return (
        f"<aside>\n<p><b>What data this is.</b> {escaped(result.data_note)}</p>\n"
        f"<p>{escaped(sentences.real_or_simulated(result.devices))} The device that never took part has {unseen}.</p>\n"
        "</aside>\n"
    )


def _adaptation(result: Result) -> str:
    curves = tuple(c for c in result.curves if c.samples)
    if not curves:
        return ""
    lead = "A new device takes the initialization and learns from its own samples, one by one, each seen once."
    score = [Line(c.label, c.samples, c.score, i) for i, c in enumerate(curves)]
    loss = [Line(c.label, c.samples, c.loss, i) for i, c in enumerate(curves)]
    x = charts.samples_axis(sorted({n for c in curves for n in c.samples}))
    better = "lower" if curves[0].lower_is_better else "higher"
    y = charts.value_axis(score, f"{curves[0].score_name} ({better} is better)", partial(score_text, curves[0]))
    y_loss = charts.value_axis(loss, "loss on held-out samples (lower is better)")
    first = charts.figure(
        sentences.capitalised(curves[0].score_name), sentences.reached(curves), charts.chart(score, x, y)
    )
    second = charts.figure("Loss", sentences.loss(curves), charts.chart(loss, x, y_loss))
    return _section("How fast a new device adapts", lead, charts.legend(score) + charts.pair(first + second))


def _rounds(result: Result) -> str:
    rounds = result.rounds
    if not rounds:
        return _section("How the rounds went", "No round was closed.", "")
    x = charts.rounds_axis([r.round_num for r in rounds])
    lead = "In each round devices adapt the current initialization and the coordinator merges their updates"
    lead += f" ({sentences.missed(rounds)})."
    return _section("How the rounds went", lead, charts.pair(_convergence(rounds, x) + _traffic(rounds, x)))


def _convergence(rounds: tuple[RoundRow, ...], x: Axis) -> str:
    nums = [r.round_num for r in rounds]
    lines = [
        Line("before adaptation", nums, [r.query_loss_before for r in rounds], BEFORE),
        Line("after adaptation", nums, [r.query_loss_after for r in rounds], OURS),
    ]
    drawn = charts.chart(lines, x, charts.value_axis(lines, "loss on held-out samples, mean over devices"))
    return charts.figure("Loss by round", sentences.convergence(rounds), drawn, lines)


def _traffic(rounds: tuple[RoundRow, ...], x: Axis) -> str:
    nums = [r.round_num for r in rounds]
    lines = [
        Line("down: initializations", nums, list(accumulate(r.bytes_down for r in rounds)), DOWN),
        Line("up: updates", nums, list(accumulate(r.bytes_up for r in rounds)), OURS),
    ]
    drawn = charts.chart(lines, x, charts.bytes_axis(lines))
    return charts.figure("Bytes, added up", sentences.traffic(rounds), drawn, lines)


def _sent(result: Result) -> str:
    devices = sorted(_shown(result.devices), key=lambda d: -d.dense_bytes_up)
    if not devices:
        return ""
    most = max(d.dense_bytes_up for d in devices) or 1
    rows = "".join(_sent_bar(d, most) for d in devices)
    names = [("sent", "sent, sparse"), ("dense", "the same updates as dense float32")]
    body = f'{charts.swatches(names)}<ul class="bars">\n{rows}</ul>\n{_others(result)}'
    return _section("What each device sent", sentences.sent(result), body)


def _sent_bar(device: DeviceRow, most: int) -> str:
    sent, dense = device.bytes_up, device.dense_bytes_up
    text = "no update sent"
    if sent:
        less = f"<b>{sentences.times_text(dense / sent)}&times;<i> less</i></b>"
        text = f"{bytes_text(sent)} <span>of {bytes_text(dense)}</span> {less}"
    bars = (
        f'<i class="dense" style="width:{dense / most:.2%}"></i>'
        f'<i class="sent" style="width:{min(1, sent / most):.2%}"></i>'
    )
    return _bar(device, bars, text)


def _bar(device: DeviceRow, bars: str, text: str) -> str:
    badge = " " + _badge(True) if device.simulated else ""
    return (
        f'<li><span class="name">{escaped(device.device)}{badge}</span>'
        f'<span class="track">{bars}</span><span class="value">{text}</span></li>\n'
    )


def _shown(devices: Iterable[DeviceRow]) -> list[DeviceRow]:
    """Those the page shows one by one: where there are too many, real ones before SIMULATED ones."""
    return sorted(devices, key=lambda d: d.simulated)[:MOST_SHOWN]


def _others(result: Result) -> str:
    left = len(result.devices) - MOST_SHOWN
    if left <= 0:
        return ""
    return f'<p>{sentences.count_text(left, "more device")} in <a href="devices.csv">devices.csv</a>.</p>\n'


def _energy(result: Result) -> str:
    devices = sorted(_shown(result.devices), key=lambda d: -sentences.spent(d))
    if not devices:
        return ""
    most = max(sentences.spent(d) for d in devices) or 1.0
    rows = "".join(_energy_bar(d, most) for d in devices)
    names = [*sentences.energy_totals(devices)] + ([REST] if any(sentences.rest(d) for d in devices) else [])
    key = charts.swatches((f"e{i}", name) for i, name in enumerate(names))
    title = f"Energy by device ({sentences.energy_kind(result.devices)})"
    body = f'{key}<ul class="bars">\n{rows}</ul>\n{_others(result)}'
    return _section(title, sentences.energy(result.devices), body)


def _energy_bar(device: DeviceRow, most: float) -> str:
    parts = (*sentences.energy_totals([device]).items(), (REST, sentences.rest(device)))
    bars = "".join(
        f'<i class="e{i}" style="width:{part / most:.2%}" title="{name} {joules_text(part)}"></i>'
        for i, (name, part) in enumerate(parts)
        if part > 0
    )
    return _bar(device, bars, f"{joules_text(device.energy_joules)} <span>{escaped(device.energy_kind)}</span>")


def _devices(result: Result) -> str:
    if not result.devices:
        return ""
    heads = ("Device", "Samples come from", "Data", "Updates", "Samples", "Sent", "Received", "Energy")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(_device_row(d) for d in _shown(result.devices))
    table = (
        f'<div class="scroll" tabindex="0">\n<table class="rows">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table>\n</div>\n"
    )
    return _section("The devices", sentences.real_or_simulated(result.devices), table + _others(result))


def _device_row(device: DeviceRow) -> str:
    numbers = (
        f"{device.updates:,}",
        f"{device.samples:,}",
        bytes_text(device.bytes_up),
        bytes_text(device.bytes_down),
        f"{joules_text(device.energy_joules)} <small>{escaped(device.energy_kind)}</small>",
    )
    cells = "".join(f"<td>{number}</td>" for number in numbers)
    first = f'<th scope="row">{escaped(device.device)}</th><td class="words">{escaped(device.source)}</td>'
    return f'<tr>{first}<td class="words">{_badge(device.simulated)}</td>{cells}</tr>\n'


def _repeat(result: Result) -> str:
    command, seed = result.settings.get("command"), result.settings.get("seed", "not recorded")
    line = "<p>The run did not record its command.</p>\n"
    if command:
        line = f'<pre tabindex="0"><code>{escaped(command)}</code></pre>\n'
    shown = {"seed": seed, **result.settings, "broker": result.broker}
    rows = "".join(
        f'<tr><th scope="row">{escaped(key)}</th><td>{escaped(_setting(value))}</td></tr>\n'
        for key, value in shown.items()
        if key != "command"
    )
    names = ("rounds.csv", "devices.csv", "curves.csv", "settings.json")
    links = sentences.joined([f'<a href="{name}">{name}</a>' for name in names])
    body = f'{line}<table class="settings">\n<tbody>\n{rows}</tbody></table>\n'
    return _section("Repeat this run", "", f"{body}<p>The numbers of this page: {links}.</p>\n")


def _setting(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(_as_json(value), ensure_ascii=False)


def _notes(result: Result) -> str:
    if not result.notes:
        return ""
    items = "".join(f"<li>{escaped(note)}</li>\n" for note in result.notes)
    return _section("Notes", "", f"<ul>\n{items}</ul>\n")
