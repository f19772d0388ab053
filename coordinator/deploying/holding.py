"""What must hold for a deployment to go on: a condition on the numbers that devices tell in their telemetry.

    loss_after <= 0.5
    loss_after <= loss_before
    loss_after <= 1.1 * before
    loss_after <= before + 0.02, free_heap_bytes >= 20000

A comma means 'and'. On the left stands the name of a number; then <=, <, >= or >; on the right a number, or a name,
which may be multiplied by a number and have a number added. `before` is the number on the left, as it was under the
earlier model on the same devices. A name stands for its mean: over a device's newest telemetries, then over devices.
"""

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BEFORE = "before"
SIGNS = {
    "<=": (operator.le, "more than"),
    "<": (operator.lt, "not less than"),
    ">=": (operator.ge, "less than"),
    ">": (operator.gt, "not more than"),
}
_UNSIGNED = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = f"-?{_UNSIGNED}"
_NAME = r"[a-z_][a-z0-9_]*"
_COMPARISON = re.compile(
    rf"(?P<name>{_NAME})\s*(?P<sign><=|>=|<|>)\s*"
    rf"(?:(?P<number>{_NUMBER})|(?:(?P<factor>{_NUMBER})\s*\*\s*)?"
    rf"(?P<other>{_NAME})(?:\s*(?P<add>[+-]\s*{_UNSIGNED}))?)"
)
Means = Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """name sign factor * other + add. other: the name of a number, 'before', or empty for add alone."""

    name: str
    sign: str
    factor: float
    other: str
    add: float

    def fault(self, after: Means, before: Means) -> str:
        """Empty if it holds, else what is wrong. What is no finite number holds nothing."""
        known = before[self.name] if self.other == BEFORE else after[self.other] if self.other else 0.0
        value, limit = after[self.name], self.factor * known + self.add
        holds, words = SIGNS[self.sign]
        if not (math.isfinite(value) and math.isfinite(limit)):
            return f"{self.name} is {value:.4g}, to be compared with {limit:.4g}"
        return "" if holds(value, limit) else f"{self.name} is {value:.4g}, {words} {limit:.4g}"


@dataclass(frozen=True)
class Metric:
    """Every comparison has to hold. Without any, nothing is asked."""

    comparisons: tuple[Comparison, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers that a telemetry must have, to count."""
        words = [word for one in self.comparisons for word in (one.name, one.other) if word not in ("", BEFORE)]
        return tuple(dict.fromkeys(words))

    @property
    def uses_before(self) -> bool:
        return any(one.other == BEFORE for one in self.comparisons)

    def values(self, numbers: Means) -> tuple[float, ...] | None:
        """The numbers of a telemetry, in the order of `names`; None if one is absent or not finite."""
        found = tuple(float(numbers.get(name, math.nan)) for name in self.names)
        return found if all(map(math.isfinite, found)) else None

    def means(self, devices: Iterable[Sequence[tuple[float, ...]]]) -> Means:
        """The mean of each name over the devices, each by the mean of its telemetries; empty without devices."""
        each = [[sum(column) / len(column) for column in zip(*told, strict=True)] for told in devices]
        return {name: sum(row[at] for row in each) / len(each) for at, name in enumerate(self.names)} if each else {}

    def fault(self, after: Means, before: Means) -> str:
        """Empty if all of it holds, else the first thing that is wrong."""
        return next((fault for one in self.comparisons if (fault := one.fault(after, before))), "")


def parse(text: str) -> Metric:
    """The metric of a text; an empty one asks nothing. ValueError: what cannot be read."""
    return Metric(tuple(_comparison(part.strip()) for part in text.split(",")) if text.strip() else ())


def _comparison(text: str) -> Comparison:
    found = _COMPARISON.fullmatch(text)
    if found is not None and found["name"] != BEFORE:
        add = float("".join((found["number"] or found["add"] or "0").split()))
        factor = float(found["factor"] or 1.0) if found["other"] else 0.0
        if math.isfinite(factor) and math.isfinite(add):
            return Comparison(found["name"], found["sign"], factor, found["other"] or "", add)
    raise ValueError(
        f"cannot read the metric {text!r}: write it like 'loss_after <= 0.5', 'loss_after <= loss_before' or "
        "'loss_after <= 1.1 * before'"
    )
