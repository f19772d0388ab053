"""A deployment in words: its plan, how it stands, what changed, how it ended. Values in (deploying.summary), lines out."""

from collections.abc import Mapping
from typing import Any

from .tables import (
    GAP,
    NONE,
    digits,
    letters,
    many,
    pairs,
    plain,
    table,
)

Json = Mapping[str, Any]
STATUS_WORDS = {  # of a device, in the order in which they are shown
    "waiting": "waits for its turn",
    "asked": "was asked",
    "took": "has it",
    "refused": "refused it",
    "recalled": "was asked to go back",
    "back": "went back",
    "lost": "did not go back",
    "retired": "was retired",
    "quarantined": "is in quarantine",
    "elsewhere": "has another order by now",
}
SHOWN = 20  # devices a line names; and lines of those left out


def plan(planned: Json, columns: int | None) -> list[str]:
    """Who would get it in which stage, and who would not."""
    stages: list[list[str]] = planned["plan"]
    outside: Mapping[str, str] = planned["outside"]
    count = sum(map(len, stages))
    where = f" where {planned['where']}" if planned.get("where") else ""
    lines = [plain(f"{planned['model']} to {many(count, 'device')}{where}"), ""]
    rows = [(at, len(devices), _names(devices)) for at, devices in enumerate(stages, 1)]
    lines += table(("stage", "devices", "which"), rows, columns)
    if planned.get("metric"):
        lines += ["", plain(f"It goes on while {planned['metric']}; else it goes back.")]
    if outside:
        lines += ["", f"Left out: {many(len(outside), 'device')}", ""]
        lines += table(("device", "why"), list(outside.items())[:SHOWN], columns)
        if len(outside) > SHOWN:
            lines.append(f"and {len(outside) - SHOWN:,} more")
    return lines


def picture(found: Json, columns: int | None) -> list[str]:
    """How it stands."""
    lines = [_cut(_head(found), columns)]
    lines += pairs(
        [
            ("where", found.get("where", "")),
            ("metric", _metric(found)),
            ("why", found.get("why", "")),
        ],
        columns,
    )
    rows = [
        (STATUS_WORDS.get(status, status), len(devices), _names(list(devices)), _reasons(devices))
        for status, devices in _ordered(found)
    ]
    heads = ("device", "count", "which", "why") if any(row[3] for row in rows) else ("device", "count", "which")
    return [*lines, *table(heads, [row[: len(heads)] for row in rows], columns)]


def changes(before: Json, now: Json) -> list[str]:
    """A line for each thing that is other than it was; before may be empty."""
    lines = []
    if (before.get("status"), before.get("stage")) != (now["status"], now["stage"]):
        lines.append(_head(now))
    was, reasons = _by_device(before), _by_device(now)
    for device in sorted(reasons):
        status, reason = reasons[device]
        if was.get(device, ("waiting", ""))[0] != status:
            lines.append(plain(f"  {device} {STATUS_WORDS.get(status, status)}" + (f": {reason}" if reason else "")))
    if now.get("after") and before.get("after") != now["after"]:
        lines.append(plain(f"  {_metric(now)}"))
    return lines


def ended(found: Json) -> str:
    """The last word."""
    devices = found["devices"]
    has, count = len(devices.get("took", {})), sum(map(len, devices.values()))
    why = f": {found['why']}" if found.get("why") else ""
    if found["status"] == "done":
        waits = len(devices.get("asked", {})) + len(devices.get("waiting", {}))
        later = f"; {many(waits, 'device')} will take it when they are back" if waits else ""
        return plain(f"Done: {has:,} of {many(count, 'device')} have {found['model']}{later}.")
    lost = len(devices.get("lost", {}))
    besides = f" {many(lost, 'device')} could not be reached." if lost else ""
    return plain(f"{found['status'].capitalize()}{why}.{besides}")


def listed(found: list[Json], columns: int | None) -> list[str]:
    """All of them, the newest first."""
    if not found:
        return ["No deployment yet."]
    rows = [
        (
            one["number"],
            one["model"],
            one["status"],
            f"{one['stage']} of {len(one['stages'])}",
            f"{len(one['devices'].get('took', {}))} of {sum(map(len, one['devices'].values()))}",
            one.get("where", ""),
            one.get("why", ""),
        )
        for one in sorted(found, key=lambda one: -int(one["number"]))
    ]
    return table(("number", "model", "status", "stage", "have it", "where", "why"), rows, columns)


def _head(found: Json) -> str:
    stage = f", stage {found['stage']} of {len(found['stages'])}" if found["stage"] else ""
    return plain(f"Deployment {found['number']} of {found['model']}: {found['status']}{stage}")


def _metric(found: Json) -> str:
    """`loss_after <= 0.5 (loss_after is 0.31)`."""
    told = ", ".join(f"{name} is {digits(value)}" for name, value in found.get("after", {}).items())
    before = ", ".join(f"{name} was {digits(value)}" for name, value in found.get("before", {}).items())
    both = ", ".join(part for part in (told, before) if part)
    return f"{found.get('metric') or NONE} ({both})" if both else str(found.get("metric", ""))


def _ordered(found: Json) -> list[tuple[str, Mapping[str, str]]]:
    known = list(STATUS_WORDS)
    return sorted(found["devices"].items(), key=lambda one: known.index(one[0]) if one[0] in known else len(known))


def _by_device(found: Json) -> dict[str, tuple[str, str]]:
    return {
        device: (status, reason)
        for status, devices in found.get("devices", {}).items()
        for device, reason in devices.items()
    }


def _names(devices: list[str]) -> str:
    told = ", ".join(sorted(devices)[:SHOWN])
    return f"{told} and {len(devices) - SHOWN:,} more" if len(devices) > SHOWN else told


def _reasons(devices: Mapping[str, str]) -> str:
    return "; ".join(dict.fromkeys(reason for reason in devices.values() if reason))


def _cut(line: str, columns: int | None) -> str:
    return line if columns is None or letters(line) <= columns else line[: columns - len(GAP)]
