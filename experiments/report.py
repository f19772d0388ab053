"""The report of a run: one page a person reads, and the numbers behind it as files.

`write(result, folder)` makes a directory with `index.html`, `rounds.csv`, `devices.csv`, `curves.csv` and
`settings.json`. The page stands alone: styles and figures are inline, nothing is loaded, no script runs (its
Content-Security-Policy forbids both). Figures are drawn here as SVG, so they follow the page's light, dark
and print colours, and no plotting library is needed. Every sentence is made from the numbers it stands
beside, including when they do not flatter us.

Top to bottom: writing, files, sentences, sections, figures, styles. Figures and styles know nothing of runs.
"""

import csv
import errno
import io
import json
import math
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from html import escape
from itertools import count
from pathlib import Path

from experiments.results import (
    Curve,
    DeviceRow,
    Result,
    RoundRow,
    bytes_text,
    headline_samples,
    joules_text,
    number_text,
    one_line,
    score_text,
    seconds_text,
)

REST = "idle or not told apart"
MOST_SHOWN = 24  # devices shown one by one on the page; devices.csv has all


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


# Sentences ----------------------------------------------------------------------------------------------


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 9.95 else f"{factor:.1f}"


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def compared(ours: Curve, other: Curve, samples: int) -> str:
    """How our score stands to another after n samples: "0.22 better than random initialization"."""
    gain = ours.score_after(samples) - other.score_after(samples)
    if not math.isfinite(gain):
        return f"not comparable with {other.label}, which has no finite score there"
    shown = score_text(ours, abs(gain))
    if float(shown.replace(",", "")) == 0:
        return f"level with {other.label}"
    better = (gain < 0) if ours.lower_is_better else (gain > 0)
    return f"{shown} {'better' if better else 'worse'} than {other.label}"


def headline_sentence(curves: tuple[Curve, ...]) -> str:
    """What the run shows about the device that never took part, at the headline's sample counts."""
    if not curves or not curves[0].samples:
        return "This run scored no device that never took part."
    ours, parts = curves[0], []
    for place, samples in enumerate(headline_samples(curves)):
        when = f"After {_count(samples, 'sample')}" if samples else "Before learning from any sample there"
        name = f"{ours.label} reaches a {ours.score_name} of" if place == 0 else "it reaches"
        against = [compared(ours, other, samples) for other in curves[1:]]
        text = f"{when}, {name} {score_text(ours, ours.score_after(samples))}"
        parts.append(f"{text}: {_and(against)}." if against else f"{text}.")
    return " ".join(parts)


def reached_sentence(curves: tuple[Curve, ...]) -> str:
    """After how many samples each other start has what ours has at the beginning."""
    ours = curves[0]
    begin = f"{ours.label} begins at {score_text(ours, ours.score[0])}"
    parts = [_reached(curve, ours.score[0]) for curve in curves[1:]]
    return f"{begin}; {_and(parts)}." if parts else begin + "."


def _reached(curve: Curve, wanted: float) -> str:
    sign = -1 if curve.lower_is_better else 1
    there = [n for n, score in zip(curve.samples, curve.score, strict=True) if sign * score >= sign * wanted]
    if not there:
        return f"{curve.label} has not come that far after {_count(curve.samples[-1], 'sample')}"
    if there[0] == curve.samples[0]:
        return f"{curve.label} begins no worse"
    return f"{curve.label} needs {_count(there[0], 'sample')} for that"


def loss_sentence(curves: tuple[Curve, ...]) -> str:
    """The loss of each start at the two ends."""
    ends = [f"{c.label} from {_finite(c.loss[0])} to {_finite(c.loss[-1])}" for c in curves]
    return f"Over {_count(curves[0].samples[-1], 'sample')} the loss goes: {', '.join(ends)}."


def _finite(value: float) -> str:
    return number_text(value) if math.isfinite(value) else "no finite value"


def convergence_sentence(rounds: tuple[RoundRow, ...]) -> str:
    """What the rounds changed before adaptation, and what adaptation still gains."""
    first, last = rounds[0], rounds[-1]
    gain = last.query_loss_before - last.query_loss_after
    return (
        f"Before adaptation the loss went from {number_text(first.query_loss_before)} in the first round to "
        f"{number_text(last.query_loss_before)} in the last; the gap between the lines is what a device "
        f"gains from its own samples, in the last round {number_text(gain)}."
    )


def traffic_sentence(rounds: tuple[RoundRow, ...]) -> str:
    """Totals up and down."""
    up, down = sum(r.bytes_up for r in rounds), sum(r.bytes_down for r in rounds)
    text = f"After {_count(len(rounds), 'round')}, {bytes_text(up)} had gone up and {bytes_text(down)} down"
    if min(up, down) > 0 and max(up, down) >= 1.5 * min(up, down):
        larger, smaller = ("initializations", "updates") if down > up else ("updates", "initializations")
        text += f": the {larger} weigh {_times(max(up, down) / min(up, down))} times the {smaller}"
    return text + "."


def sent_sentence(result: Result) -> str:
    """Sparse against dense, and the coordinator's count beside the devices'."""
    sent, dense = sum(d.bytes_up for d in result.devices), sum(d.dense_bytes_up for d in result.devices)
    text = f"Together the devices sent {bytes_text(sent)}; dense float32 would have been {bytes_text(dense)}"
    text += f", {_times(dense / sent)} times as much." if sent else "."
    counted = sum(r.bytes_up for r in result.rounds)
    if counted == sent:
        return text + " The coordinator counted the same number of bytes."
    word = "fewer" if counted < sent else "more"
    return f"{text} The coordinator's rounds hold {_count(abs(counted - sent), 'byte')} {word}."


def energy_kind(devices: Iterable[DeviceRow]) -> str:
    """ "modelled", "measured", or both where the devices differ."""
    return " and ".join(sorted({d.energy_kind for d in devices}, reverse=True)) or "modelled"


def energy_sentence(devices: tuple[DeviceRow, ...]) -> str:
    """The total, labelled, and its largest part."""
    total, kind = sum(_spent(d) for d in devices), energy_kind(devices)
    kind = "modelled, not measured" if kind == "modelled" else kind
    text = f"{_start(kind)}: {joules_text(total)} for all devices"
    name, most = max(_energy_totals(devices).items(), key=lambda item: item[1])
    mostly = 0 < total < 2 * most <= 2 * total
    return f"{text}, most of it {name} ({most / total:.0%})." if mostly else f"{text}."


def _energy_totals(devices: Iterable[DeviceRow]) -> dict[str, float]:
    rows = list(devices)
    return {
        "compute": sum(d.compute_joules for d in rows),
        "radio": sum(d.radio_joules for d in rows),
        "sessions": sum(d.session_joules for d in rows),
    }


def real_or_simulated(devices: Sequence[DeviceRow]) -> str:
    """How many of the devices had real data, plainly."""
    simulated = sum(d.simulated for d in devices)
    if not devices:
        return "No device took part."
    if 0 < simulated < len(devices):
        some = f"{simulated} of {len(devices)} devices learned from SIMULATED data"
        return f"{some}, {len(devices) - simulated} from real data."
    all_of_them = "The one device" if len(devices) == 1 else f"All {len(devices)} devices"
    return f"{all_of_them} learned from {'SIMULATED' if simulated else 'real'} data."


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
<style>{style}</style>
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
    return PAGE.format(title=_text(result.title), style=STYLE, sections=sections)


def _text(value: object) -> str:
    return escape(one_line(value))


def _badge(simulated: bool) -> str:
    return '<b class="badge simulated">SIMULATED</b>' if simulated else '<b class="badge">real data</b>'


def _section(title: str, lead: str, body: str) -> str:
    lead = f'<p class="lead">{_text(lead)}</p>\n' if lead else ""
    return f"<section>\n<h2>{_text(title)}</h2>\n{lead}{body}</section>\n"


def _head(result: Result) -> str:
    unseen = f"{_text(result.unseen)} {_badge(result.unseen_simulated)}"
    return (
        f'<header>\n<p class="eyebrow">Tegu report <span>task {_text(result.task)}</span></p>\n'
        f"<h1>{_text(result.title)}</h1>\n"
        f'<p class="unseen"><span>Never took part:</span> {unseen}</p>\n'
        f'<p class="verdict">{_text(headline_sentence(result.curves))}</p>\n'
        f"{_headline_table(result.curves)}{_facts(result)}</header>\n"
    )


def _headline_table(curves: tuple[Curve, ...]) -> str:
    """A line for each start, the score at the two headline sample counts; the best of a column is marked."""
    shown = headline_samples(curves)
    if not shown:
        return ""
    heads = "".join(f'<th scope="col">after {_count(n, "sample")}</th>' for n in shown)
    rows = "".join(_headline_row(curves, place, shown) for place in range(len(curves)))
    better = "lower is better" if curves[0].lower_is_better else "higher is better"
    return (
        f'<table class="headline">\n<caption>{_start(curves[0].score_name)} there ({better}'
        f"{_score_meaning(curves[0])}). Bold: best of the column.</caption>\n"
        f'<thead><tr><th scope="col">Starting from</th>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table>\n"
    )


def _headline_row(curves: tuple[Curve, ...], place: int, shown: tuple[int, ...]) -> str:
    cells = "".join(_headline_cell(curves, curves[place], samples) for samples in shown)
    return f'<tr><th scope="row">{_key(place)}{_text(curves[place].label)}</th>{cells}</tr>\n'


def _score_meaning(curve: Curve) -> str:
    if curve.score_name != "balanced accuracy":
        return ""
    return "; the mean over classes of the share recognised, so guessing between two gives 0.50"


def _headline_cell(curves: tuple[Curve, ...], curve: Curve, samples: int) -> str:
    score = curve.score_after(samples)
    finite = [s for c in curves if math.isfinite(s := c.score_after(samples))]
    best = (min if curve.lower_is_better else max)(finite, default=math.nan)
    shown = score_text(curve, score)
    return f"<td><b>{shown}</b></td>" if shown == score_text(curve, best) and finite else f"<td>{shown}</td>"


def _facts(result: Result) -> str:
    sent, dense = sum(d.bytes_up for d in result.devices), sum(d.dense_bytes_up for d in result.devices)
    simulated = sum(d.simulated for d in result.devices)
    less = f"{_times(dense / sent)} times less than dense" if sent else "no update sent"
    facts = (
        ("Devices", str(len(result.devices)), f"{simulated} SIMULATED" if simulated else "all real data"),
        ("Rounds", str(len(result.rounds)), f"in {seconds_text(result.seconds)}"),
        ("Updates merged", f"{sum(r.accepted for r in result.rounds):,}", _missed(result.rounds)),
        ("Sent up", bytes_text(sent), less),
    )
    items = "".join(
        f"<div><dt>{name}</dt><dd>{_text(value)}<small>{_text(more)}</small></dd></div>" for name, value, more in facts
    )
    return f'<dl class="facts">{items}</dl>\n'


def _missed(rounds: Iterable[RoundRow]) -> str:
    rows = list(rounds)
    return f"{sum(r.late for r in rows)} late, {sum(r.stale for r in rows)} stale"


def _data(result: Result) -> str:
    unseen = "SIMULATED data" if result.unseen_simulated else "real data"
    return (
        f"<aside>\n<p><b>What data this is.</b> {_text(result.data_note)}</p>\n"
        f"<p>{_text(real_or_simulated(result.devices))} The device that never took part has {unseen}.</p>\n"
        "</aside>\n"
    )


def _adaptation(result: Result) -> str:
    curves = tuple(c for c in result.curves if c.samples)
    if not curves:
        return ""
    lead = "A new device takes the initialization and learns from its own samples, one by one, each seen once."
    score = [Line(c.label, c.samples, c.score, i) for i, c in enumerate(curves)]
    loss = [Line(c.label, c.samples, c.loss, i) for i, c in enumerate(curves)]
    x = samples_axis(sorted({n for c in curves for n in c.samples}))
    better = "lower" if curves[0].lower_is_better else "higher"
    y = value_axis(score, f"{curves[0].score_name} ({better} is better)", partial(score_text, curves[0]))
    y_loss = value_axis(loss, "loss on held-out samples (lower is better)")
    first = figure(_start(curves[0].score_name), reached_sentence(curves), chart(score, x, y))
    second = figure("Loss", loss_sentence(curves), chart(loss, x, y_loss))
    return _section("How fast a new device adapts", lead, legend(score) + pair(first + second))


def _rounds(result: Result) -> str:
    rounds = result.rounds
    if not rounds:
        return _section("How the rounds went", "No round was closed.", "")
    x = rounds_axis([r.round_num for r in rounds])
    lead = "In each round devices adapt the current initialization and the coordinator merges their updates"
    lead += f" ({_missed(rounds)})."
    return _section("How the rounds went", lead, pair(_convergence(rounds, x) + _traffic(rounds, x)))


def _convergence(rounds: tuple[RoundRow, ...], x: "Axis") -> str:
    nums = [r.round_num for r in rounds]
    lines = [
        Line("before adaptation", nums, [r.query_loss_before for r in rounds], BEFORE),
        Line("after adaptation", nums, [r.query_loss_after for r in rounds], OURS),
    ]
    drawn = chart(lines, x, value_axis(lines, "loss on held-out samples, mean over devices"))
    return figure("Loss by round", convergence_sentence(rounds), drawn, lines)


def _traffic(rounds: tuple[RoundRow, ...], x: "Axis") -> str:
    nums = [r.round_num for r in rounds]
    lines = [
        Line("down: initializations", nums, _running([r.bytes_down for r in rounds]), DOWN),
        Line("up: updates", nums, _running([r.bytes_up for r in rounds]), OURS),
    ]
    drawn = chart(lines, x, bytes_axis(lines))
    return figure("Bytes, added up", traffic_sentence(rounds), drawn, lines)


def _running(values: Iterable[int]) -> list[float]:
    total, sums = 0, []
    for value in values:
        total += value
        sums.append(float(total))
    return sums


def _sent(result: Result) -> str:
    devices = sorted(_shown(result.devices), key=lambda d: -d.dense_bytes_up)
    if not devices:
        return ""
    most = max(d.dense_bytes_up for d in devices) or 1
    rows = "".join(_sent_bar(d, most) for d in devices)
    names = [("sent", "sent, sparse"), ("dense", "the same updates as dense float32")]
    body = f'{_swatches(names)}<ul class="bars">\n{rows}</ul>\n{_others(result)}'
    return _section("What each device sent", sent_sentence(result), body)


def _swatches(names: Iterable[tuple[str, str]]) -> str:
    """A legend of colours: (class, name)."""
    items = "".join(f'<li><i class="swatch {kind}"></i>{name}</li>' for kind, name in names)
    return f'<ul class="legend">{items}</ul>\n'


def _sent_bar(device: DeviceRow, most: int) -> str:
    sent, dense = device.bytes_up, device.dense_bytes_up
    text = "no update sent"
    if sent:
        less = f"<b>{_times(dense / sent)}&times;<i> less</i></b>"
        text = f"{bytes_text(sent)} <span>of {bytes_text(dense)}</span> {less}"
    bars = (
        f'<i class="dense" style="width:{dense / most:.2%}"></i>'
        f'<i class="sent" style="width:{min(1, sent / most):.2%}"></i>'
    )
    return _bar(device, bars, text)


def _bar(device: DeviceRow, bars: str, text: str) -> str:
    badge = " " + _badge(True) if device.simulated else ""
    return (
        f'<li><span class="name">{_text(device.device)}{badge}</span>'
        f'<span class="track">{bars}</span><span class="value">{text}</span></li>\n'
    )


def _shown(devices: Iterable[DeviceRow]) -> list[DeviceRow]:
    """Those the page shows one by one: where there are too many, real ones before SIMULATED ones."""
    return sorted(devices, key=lambda d: d.simulated)[:MOST_SHOWN]


def _others(result: Result) -> str:
    left = len(result.devices) - MOST_SHOWN
    if left <= 0:
        return ""
    return f'<p>{_count(left, "more device")} in <a href="devices.csv">devices.csv</a>.</p>\n'


def _energy(result: Result) -> str:
    devices = sorted(_shown(result.devices), key=lambda d: -_spent(d))
    if not devices:
        return ""
    most = max(_spent(d) for d in devices) or 1.0
    rows = "".join(_energy_bar(d, most) for d in devices)
    names = [*_energy_totals(devices)] + ([REST] if any(_rest(d) for d in devices) else [])
    key = _swatches((f"e{i}", name) for i, name in enumerate(names))
    title = f"Energy by device ({energy_kind(result.devices)})"
    body = f'{key}<ul class="bars">\n{rows}</ul>\n{_others(result)}'
    return _section(title, energy_sentence(result.devices), body)


def _spent(device: DeviceRow) -> float:
    return device.energy_joules if math.isfinite(device.energy_joules) else 0.0


def _rest(device: DeviceRow) -> float:
    """What the total holds beyond its three parts, J; a rounding's worth counts as nothing."""
    rest = _spent(device) - device.compute_joules - device.radio_joules - device.session_joules
    return rest if rest > 0.005 * _spent(device) else 0.0


def _energy_bar(device: DeviceRow, most: float) -> str:
    parts = (*_energy_totals([device]).items(), (REST, _rest(device)))
    bars = "".join(
        f'<i class="e{i}" style="width:{part / most:.2%}" title="{name} {joules_text(part)}"></i>'
        for i, (name, part) in enumerate(parts)
        if part > 0
    )
    return _bar(device, bars, f"{joules_text(device.energy_joules)} <span>{_text(device.energy_kind)}</span>")


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
    return _section("The devices", real_or_simulated(result.devices), table + _others(result))


def _device_row(device: DeviceRow) -> str:
    numbers = (
        f"{device.updates:,}",
        f"{device.samples:,}",
        bytes_text(device.bytes_up),
        bytes_text(device.bytes_down),
        f"{joules_text(device.energy_joules)} <small>{_text(device.energy_kind)}</small>",
    )
    cells = "".join(f"<td>{number}</td>" for number in numbers)
    first = f'<th scope="row">{_text(device.device)}</th><td class="words">{_text(device.source)}</td>'
    return f'<tr>{first}<td class="words">{_badge(device.simulated)}</td>{cells}</tr>\n'


def _repeat(result: Result) -> str:
    command, seed = result.settings.get("command"), result.settings.get("seed", "not recorded")
    line = "<p>The run did not record its command.</p>\n"
    if command:
        line = f'<pre tabindex="0"><code>{_text(command)}</code></pre>\n'
    shown = {"seed": seed, **result.settings, "broker": result.broker}
    rows = "".join(
        f'<tr><th scope="row">{_text(key)}</th><td>{_text(_setting(value))}</td></tr>\n'
        for key, value in shown.items()
        if key != "command"
    )
    names = ("rounds.csv", "devices.csv", "curves.csv", "settings.json")
    links = _and([f'<a href="{name}">{name}</a>' for name in names])
    body = f'{line}<table class="settings">\n<tbody>\n{rows}</tbody></table>\n'
    return _section("Repeat this run", "", f"{body}<p>The numbers of this page: {links}.</p>\n")


def _setting(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(_as_json(value), ensure_ascii=False)


def _notes(result: Result) -> str:
    if not result.notes:
        return ""
    items = "".join(f"<li>{_text(note)}</li>\n" for note in result.notes)
    return _section("Notes", "", f"<ul>\n{items}</ul>\n")


# Figures ------------------------------------------------------------------------------------------------

OURS, DOWN, BEFORE = 0, 3, 4  # styles of lines, see STYLE: colour, dashes and marker differ
STYLES = 6
WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 46, 66, 30, 44  # room for tick labels, end values, the two axis labels
MOST_MARKERS = 16


@dataclass(frozen=True)
class Line:
    """One line of a chart; a value that is not finite is a gap."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: int

    @property
    def marked(self) -> bool:
        """Whether there are few enough points to mark each."""
        return len(self.ys) <= MOST_MARKERS


@dataclass(frozen=True)
class Axis:
    """Where values fall: `scale` is monotone, `place` gives 0 at `low` and 1 at `high`."""

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    text: Callable[[float], str]  # a tick's value
    exact: Callable[[float], str] = number_text  # a point's value
    scale: Callable[[float], float] = float

    def place(self, value: float) -> float:
        low, high = self.scale(self.low), self.scale(self.high)
        return (self.scale(value) - low) / (high - low)


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` + 1 round numbers (1, 2, 5 times a power of ten) that span low to high."""
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    size *= next(m for m in (1, 2, 5, 10, 20) if (high - low) / (size * m) <= most - 1)
    first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
    return [round(i * size, 12) for i in range(first, last + 1)]


def samples_axis(ticks: Sequence[int]) -> Axis:
    """Sample counts with 0 on a doubling scale."""
    high = ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1
    label = "samples learned from (doubling scale)"
    return Axis(label, ticks[0], high, ticks, "{:.0f}".format, scale=_doublings)


def _doublings(samples: float) -> float:
    return math.log2(1 + samples)


def rounds_axis(nums: Sequence[int]) -> Axis:
    """Round numbers."""
    low, high = min(nums), max(*nums, min(nums) + 1)
    inside = [t for t in steps(low, high) if low <= t <= high and t == int(t)]
    ticks = sorted({low, *(t for t in inside if t - low > 0.05 * (high - low))})
    return Axis("round", low, high, ticks, "{:.0f}".format)


def value_axis(lines: Iterable[Line], label: str, exact: Callable[[float], str] = number_text) -> Axis:
    """A plain scale over the finite values, from zero if they come near it; logarithmic over two decades."""
    values = [y for line in lines for y in line.ys if math.isfinite(y)] or [0.0, 1.0]
    low, high = min(values), max(values)
    if low > 0 and high / low > 100:
        return _log_axis(low, high, f"{label}, log scale", exact)
    if high == low:
        high = low + (abs(low) or 1.0)
    ticks = steps(0.0 if 0 <= low < 0.4 * high else low, high)
    return Axis(label, ticks[0], ticks[-1], ticks, _alike(ticks), exact)


def _log_axis(low: float, high: float, label: str, exact: Callable[[float], str]) -> Axis:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [10.0**decade for decade in range(first, last + 1, max(1, (last - first) // 5))]
    return Axis(label, 10.0**first, 10.0**last, ticks, "{:g}".format, exact, math.log10)


def _alike(ticks: Sequence[float]) -> Callable[[float], str]:
    """All ticks with as many decimals as the step between them needs."""
    places = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return f"{{:,.{places}f}}".format


def bytes_axis(lines: Iterable[Line]) -> Axis:
    """From zero, in the unit that keeps the numbers short."""
    high = max((y for line in lines for y in line.ys), default=0) or 1.0
    unit, size = next(((u, s) for u, s in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if high >= s), ("B", 1.0))
    ticks = steps(0.0, high)
    text = _alike([tick / size for tick in ticks])
    return Axis(f"bytes so far ({unit})", 0.0, ticks[-1], ticks, lambda v: text(v / size), bytes_text)


def chart(lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """The figure as inline SVG. It scales with its column; words in it stay text."""
    left = "".join(_y_tick(y, t) for t in y.ticks)
    below = "".join(_x_tick(x, t) for t in x.ticks)
    middle, bottom = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6
    ends = _end_values(lines, y)
    drawn = "".join(_line(line, x, y) for line in reversed(lines))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(y.label)} by {_text(x.label)}">\n'
        f'<text class="axis" x="0" y="13">{_text(y.label)}</text>\n{left}{below}'
        f'<text class="axis" x="{middle:.0f}" y="{bottom}" text-anchor="middle">{_text(x.label)}</text>\n'
        f"{drawn}{ends}</svg>\n"
    )


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _y_tick(axis: Axis, value: float) -> str:
    y = _y(axis, value)
    return (
        f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{axis.text(value)}</text>\n'
    )


def _x_tick(axis: Axis, value: float) -> str:
    x, y = _x(axis, value), HEIGHT - BOTTOM + 18
    return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{axis.text(value)}</text>\n'


def _line(line: Line, x: Axis, y: Axis) -> str:
    points = [(_x(x, a), _y(y, b), a, b) for a, b in zip(line.xs, line.ys, strict=True) if math.isfinite(b)]
    style = line.style % STYLES
    marks = "".join(
        f"<g>{_marker(style, px, py)}<title>{_text(line.label)}, {x.text(a)}: {y.exact(b)}</title></g>"
        for px, py, a, b in points
        if line.marked
    )
    return f'<path class="line s{style}" d="{_path(line, x, y)}"/>{marks}\n'


def _path(line: Line, x: Axis, y: Axis) -> str:
    """Moves and lines through the finite values; a gap begins a new piece."""
    pen, parts = "M", []
    for a, b in zip(line.xs, line.ys, strict=True):
        if math.isfinite(b):
            parts.append(f"{pen}{_x(x, a):.1f} {_y(y, b):.1f}")
        pen = "L" if math.isfinite(b) else "M"
    return "".join(parts)


def _marker(style: int, x: float, y: float) -> str:
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        f"M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z",
        f"M{x:.1f} {y - 4.8:.1f}l4.6 8h-9.2z",
        f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
    )
    return f'<path class="mark s{style}" d="{shapes[style % len(shapes)]}"/>'


def _end_values(lines: Sequence[Line], y: Axis) -> str:
    """The last value of each line at the right edge, pushed apart where they would touch."""
    last = [line for line in lines if line.ys and math.isfinite(line.ys[-1])]
    last.sort(key=lambda line: -line.ys[-1])
    places = apart([_y(y, line.ys[-1]) for line in last], 14, HEIGHT - BOTTOM)
    x = WIDTH - RIGHT + 8
    return "".join(
        f'<text class="end s{line.style % STYLES}" x="{x}" y="{at + 4:.1f}">{y.exact(line.ys[-1])}</text>\n'
        for line, at in zip(last, places, strict=True)
    )


def apart(places: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Rising places moved until they are a gap apart: down as needed, then up again from the lowest allowed."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    for i in range(len(moved) - 1, -1, -1):
        moved[i] = min(moved[i], lowest if i == len(moved) - 1 else moved[i + 1] - gap)
    return moved


def _key(style: int, marked: bool = True) -> str:
    """A piece of the line, for legends."""
    style %= STYLES
    mark = _marker(style, 17, 6) if marked else ""
    line = f'<path class="line s{style}" d="M0 6H34"/>'
    return f'<svg class="key" viewBox="0 0 34 12" aria-hidden="true">{line}{mark}</svg>'


def legend(lines: Iterable[Line]) -> str:
    """Names of lines beside a piece of each."""
    items = "".join(f"<li>{_key(line.style, line.marked)}{_text(line.label)}</li>" for line in lines)
    return f'<ul class="legend">{items}</ul>\n'


def figure(title: str, sentence: str, drawn: str, lines: Sequence[Line] = ()) -> str:
    """A chart under its title and the sentence that says what to see."""
    key = legend(lines) if lines else ""
    caption = f"<figcaption><b>{_text(title)}.</b> {_text(sentence)}</figcaption>"
    return f"<figure>\n{caption}\n{key}{drawn}</figure>\n"


def pair(figures: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="pair">\n{figures}</div>\n'


# Styles -------------------------------------------------------------------------------------------------

# Colours after Okabe and Ito, told apart with any colour vision; text on its ground has contrast 4.5 or more.
LIGHT = """--paper:#fcfcfa;--ink:#1c2024;--soft:#586069;--rule:#dcdfe2;--wash:#f1f2f0;--link:#005a96;
--amber:#8a4b00;--s0:#0067a5;--s1:#c04a00;--s2:#007a58;--s3:#9c4380;--s4:#6b737c;--s5:#7d6400;
--dense:#d3dbe2;--e0:#0067a5;--e1:#e69f00;--e2:#4aa58a;--e3:#c3c8cd;"""
DARK = """--paper:#14171a;--ink:#e6e8ea;--soft:#a0a8b0;--rule:#32383e;--wash:#1d2125;--link:#7cc4f5;
--amber:#f3b562;--s0:#5ab4f0;--s1:#ff935a;--s2:#3fc79c;--s3:#de94c5;--s4:#9aa3ac;--s5:#e0c04c;
--dense:#39424b;--e0:#3f97d6;--e1:#f0b23c;--e2:#2f8f74;--e3:#59626b;"""

STYLE = (
    f"""
:root{{color-scheme:light dark;{LIGHT}}}
@media (prefers-color-scheme:dark){{@media screen{{:root{{{DARK}}}}}}}
"""
    """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:64rem;margin:0 auto;padding:2.5rem 1.5rem 4rem;overflow-wrap:break-word}
a{color:var(--link)}
h1{font-size:clamp(1.6rem,1.1rem + 2.2vw,2.4rem);line-height:1.15;letter-spacing:-.015em;margin:.2rem 0 .8rem;
max-width:24em;text-wrap:balance}
h2{font-size:1.3rem;line-height:1.25;letter-spacing:-.01em;margin:0 0 .4rem}
section{margin-top:2.6rem;padding-top:1.4rem;border-top:1px solid var(--rule)}
.eyebrow{margin:0;color:var(--soft);font-size:.9rem}
.eyebrow span::before{content:"·";margin:0 .5em}
.unseen{margin:.2rem 0}
.unseen span,.lead{color:var(--soft)}
.verdict{font-size:1.2rem;line-height:1.45;max-width:44em;margin:.8rem 0 1.4rem}
.lead{margin:0 0 1rem;max-width:48em}
p,figcaption{text-wrap:pretty}
.badge{display:inline-block;padding:0 .5em;border:1px solid var(--rule);border-radius:3px;font-size:.72rem;
line-height:1.6;font-weight:600;color:var(--soft);white-space:nowrap;vertical-align:.1em}
.simulated{color:var(--amber);border-color:currentColor;letter-spacing:.04em}
table{border-collapse:collapse}
th{font-weight:500;text-align:left}
thead th,caption,td small{color:var(--soft);font-size:.85rem;font-weight:400}
caption{text-align:left;caption-side:bottom;padding-top:.5rem;max-width:44em}
.headline{width:100%;max-width:44rem}
.headline td,.headline thead th+th{text-align:right;width:8.5rem}
.headline tbody tr{border-top:1px solid var(--rule)}
.headline td{padding:.35rem 0}
.headline td{font-size:1.45rem;line-height:1.3}
.headline td b{font-weight:700}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:1rem;margin:1.8rem 0 0}
.facts div{border-top:2px solid var(--ink);padding-top:.4rem}
dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-size:1.3rem;line-height:1.3}
dd small{display:block;font-size:.85rem;color:var(--soft)}
aside{margin-top:2rem;padding:.9rem 1.2rem;background:var(--wash);border-left:3px solid var(--amber)}
aside p{margin:.2rem 0;max-width:52em}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:2.2rem}
figure{margin:0;min-width:0;display:flex;flex-direction:column}
figcaption{font-size:.93rem;line-height:1.45;margin-bottom:.8rem;flex:1}
figure>svg{display:block;width:100%;height:auto}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;padding:0;
margin:0 0 .9rem;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.5em}
.key{width:34px;height:12px;flex:none}
.headline tbody th{position:relative;padding-left:44px}
.headline .key{position:absolute;left:0;top:50%;margin-top:-6px}
.swatch{width:14px;height:14px;border-radius:2px;flex:none}
svg text{font-family:inherit;font-size:12.5px;fill:var(--soft)}
svg .end{font-weight:600;font-size:12px}
.grid{stroke:var(--rule);stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.mark{stroke:var(--paper);stroke-width:1}
.line.s0{stroke:var(--s0);stroke-width:2.8}.mark.s0,svg .end.s0{fill:var(--s0)}
.line.s1{stroke:var(--s1);stroke-dasharray:7 5}.mark.s1,svg .end.s1{fill:var(--s1)}
.line.s2{stroke:var(--s2);stroke-dasharray:1 5}.mark.s2,svg .end.s2{fill:var(--s2)}
.line.s3{stroke:var(--s3);stroke-dasharray:10 4 2 4}.mark.s3,svg .end.s3{fill:var(--s3)}
.line.s4{stroke:var(--s4);stroke-dasharray:3 4}.mark.s4,svg .end.s4{fill:var(--s4)}
.line.s5{stroke:var(--s5);stroke-dasharray:12 6}.mark.s5,svg .end.s5{fill:var(--s5)}
.bars{list-style:none;padding:0;margin:0}
.bars li{display:grid;grid-template-columns:13rem 1fr 15rem;gap:0 1rem;align-items:center;padding:.22rem 0}
.name,.value{font-size:.93rem}
.name{overflow-wrap:anywhere}
.value span,.value b{font-weight:400;color:var(--soft)}
.value b{font-weight:600;color:var(--ink);float:right}
.value i{font-style:normal}
.track{display:flex;position:relative;height:14px;gap:1px}
.track i{display:block;height:100%;min-width:1px}
.track .sent{position:absolute;left:0;top:0;min-width:2px}
.dense,.sent{border-radius:0 2px 2px 0}
.dense{background:var(--dense)}.sent{background:var(--s0)}
.e0{background:var(--e0)}.e1{background:var(--e1)}.e2{background:var(--e2)}.e3{background:var(--e3)}
.scroll{overflow-x:auto}
.rows{width:100%;font-size:.93rem}
.rows th,.rows td{padding:.4rem 0 .4rem 1.2rem;text-align:right;white-space:nowrap}
.rows th:first-child{padding-left:0;text-align:left}
.rows tbody th{white-space:normal;overflow-wrap:anywhere;min-width:5.5rem;max-width:14rem}
.rows thead th:nth-child(-n+3),.rows .words{text-align:left}
.rows .words:nth-child(2){white-space:normal;min-width:15rem}
.rows tbody tr,.settings tr{border-top:1px solid var(--rule)}
pre{background:var(--wash);padding:.9rem 1.1rem;margin:.6rem 0 1.2rem;white-space:pre-wrap;
overflow-wrap:anywhere}
code,.settings td{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;
font-size:.88rem}
.settings th,.settings td{padding:.25rem 1.4rem .25rem 0;vertical-align:top;overflow-wrap:anywhere}
.settings th{color:var(--soft);white-space:nowrap;font-size:.93rem}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:44rem){
main{padding:1.4rem 1rem 3rem}
.pair{grid-template-columns:1fr}
.facts{grid-template-columns:1fr 1fr}
.headline td,.headline thead th+th{width:5.2rem}
.headline td{font-size:1.25rem}
.bars li{grid-template-columns:1fr auto;padding:.4rem 0}
.track{grid-row:2;grid-column:1/-1;margin-top:.2rem}
.value b{margin-left:.8em}
.value i{display:none}
.settings th{white-space:normal}
}
@media print{
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
@page{margin:16mm}
body{background:#fff;font-size:10pt}
main{max-width:none;padding:0}
.pair{grid-template-columns:1fr 1fr;gap:8mm}
figure,tr,.bars li,aside,.facts,.lead,pre,section:has(.pair){break-inside:avoid}
h2,.lead,.legend{break-after:avoid}
.scroll{overflow:visible}
}
"""
)
