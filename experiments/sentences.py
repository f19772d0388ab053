"""What a report says of a run in words: every sentence is made from the numbers it stands beside.

Results and their parts come in, plain text goes out, not yet escaped. A sentence says what the numbers say,
including when they do not flatter us.
"""

import math
from collections.abc import Iterable, Sequence

from experiments.results import (
    Curve,
    DeviceRow,
    Result,
    RoundRow,
    bytes_text,
    headline_samples,
    joules_text,
    number_text,
    score_text,
)


def headline(curves: tuple[Curve, ...]) -> str:
    """What the run shows about the device that never took part, at the headline's sample counts."""
    if not curves or not curves[0].samples:
        return "This run scored no device that never took part."
    ours, parts = curves[0], []
    for place, samples in enumerate(headline_samples(curves)):
        when = f"After {count_text(samples, 'sample')}" if samples else "Before learning from any sample there"
        name = f"{ours.label} reaches a {ours.score_name} of" if place == 0 else "it reaches"
        against = [compared(ours, other, samples) for other in curves[1:]]
        text = f"{when}, {name} {score_text(ours, ours.score_after(samples))}"
        parts.append(f"{text}: {joined(against)}." if against else f"{text}.")
    return " ".join(parts)


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


def score_meaning(curve: Curve) -> str:
    """What the score's name does not say by itself; may be empty."""
    if curve.score_name != "balanced accuracy":
        return ""
    return "; the mean over classes of the share recognised, so guessing between two gives 0.50"


def reached(curves: tuple[Curve, ...]) -> str:
    """After how many samples each other start has what ours has at the beginning."""
    ours = curves[0]
    begin = f"{ours.label} begins at {score_text(ours, ours.score[0])}"
    parts = [_reached_by(curve, ours.score[0]) for curve in curves[1:]]
    return f"{begin}; {joined(parts)}." if parts else begin + "."


def _reached_by(curve: Curve, wanted: float) -> str:
    sign = -1 if curve.lower_is_better else 1
    there = [n for n, score in zip(curve.samples, curve.score, strict=True) if sign * score >= sign * wanted]
    if not there:
        return f"{curve.label} has not come that far after {count_text(curve.samples[-1], 'sample')}"
    if there[0] == curve.samples[0]:
        return f"{curve.label} begins no worse"
    return f"{curve.label} needs {count_text(there[0], 'sample')} for that"


def loss(curves: tuple[Curve, ...]) -> str:
    """The loss of each start at the two ends."""
    ends = [f"{c.label} from {_finite(c.loss[0])} to {_finite(c.loss[-1])}" for c in curves]
    return f"Over {count_text(curves[0].samples[-1], 'sample')} the loss goes: {', '.join(ends)}."


def _finite(value: float) -> str:
    return number_text(value) if math.isfinite(value) else "no finite value"


def convergence(rounds: tuple[RoundRow, ...]) -> str:
    """What the rounds changed before adaptation, and what adaptation still gains."""
    first, last = rounds[0], rounds[-1]
    gain = last.query_loss_before - last.query_loss_after
    return (
        f"Before adaptation the loss went from {number_text(first.query_loss_before)} in the first round to "
        f"{number_text(last.query_loss_before)} in the last; the gap between the lines is what a device "
        f"gains from its own samples, in the last round {number_text(gain)}."
    )


def missed(rounds: Iterable[RoundRow]) -> str:
    """The updates that came too late or began from too old a version."""
    rows = list(rounds)
    return f"{sum(r.late for r in rows)} late, {sum(r.stale for r in rows)} stale"


def traffic(rounds: tuple[RoundRow, ...]) -> str:
    """Totals up and down."""
    up, down = sum(r.bytes_up for r in rounds), sum(r.bytes_down for r in rounds)
    text = f"After {count_text(len(rounds), 'round')}, {bytes_text(up)} had gone up and {bytes_text(down)} down"
    if min(up, down) > 0 and max(up, down) >= 1.5 * min(up, down):
        larger, smaller = ("initializations", "updates") if down > up else ("updates", "initializations")
        text += f": the {larger} weigh {times_text(max(up, down) / min(up, down))} times the {smaller}"
    return text + "."


def sent(result: Result) -> str:
    """Sparse against dense, and the coordinator's count beside the devices'."""
    up, dense = sum(d.bytes_up for d in result.devices), sum(d.dense_bytes_up for d in result.devices)
    text = f"Together the devices sent {bytes_text(up)}; dense float32 would have been {bytes_text(dense)}"
    text += f", {times_text(dense / up)} times as much." if up else "."
    counted = sum(r.bytes_up for r in result.rounds)
    if counted == up:
        return text + " The coordinator counted the same number of bytes."
    word = "fewer" if counted < up else "more"
    return f"{text} The coordinator's rounds hold {count_text(abs(counted - up), 'byte')} {word}."


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


def energy(devices: tuple[DeviceRow, ...]) -> str:
    """The total, labelled, and its largest part."""
    total, kind = sum(spent(d) for d in devices), energy_kind(devices)
    kind = "modelled, not measured" if kind == "modelled" else kind
    text = f"{capitalised(kind)}: {joules_text(total)} for all devices"
    name, most = max(energy_totals(devices).items(), key=lambda item: item[1])
    mostly = 0 < total < 2 * most <= 2 * total
    return f"{text}, most of it {name} ({most / total:.0%})." if mostly else f"{text}."


def energy_kind(devices: Iterable[DeviceRow]) -> str:
    """ "modelled", "measured", or both where the devices differ."""
    return " and ".join(sorted({d.energy_kind for d in devices}, reverse=True)) or "modelled"


def energy_totals(devices: Iterable[DeviceRow]) -> dict[str, float]:
    """The three parts of the energy by name, J, each over all of the devices."""
    rows = list(devices)
    return {
        "compute": sum(d.compute_joules for d in rows),
        "radio": sum(d.radio_joules for d in rows),
        "sessions": sum(d.session_joules for d in rows),
    }


def spent(device: DeviceRow) -> float:
    """The energy of a device, J; nothing where it could not be had."""
    return device.energy_joules if math.isfinite(device.energy_joules) else 0.0


def rest(device: DeviceRow) -> float:
    """What the total holds beyond its three parts, J; a rounding's worth counts as nothing."""
    beyond = spent(device) - device.compute_joules - device.radio_joules - device.session_joules
    return beyond if beyond > 0.005 * spent(device) else 0.0


def joined(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def count_text(number: int, noun: str) -> str:
    """1 round, 1,200 rounds."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def times_text(factor: float) -> str:
    """A factor: 7.0, or 12 once the decimal says nothing."""
    return f"{factor:,.0f}" if factor >= 9.95 else f"{factor:.1f}"


def capitalised(text: str) -> str:
    """The first letter large, the rest as it was (`str.capitalize` makes it small)."""
    return text[:1].upper() + text[1:]
