"""Rounds: how fast they close, who takes part, and what becomes of the updates."""

from grafana_foundation_sdk.models import dashboard as model

from .influxql import SCOPE, in_all, over_time
from .page import page
from .panels import BLUE, GREEN, GREY, ORANGE, PLAIN, PURPLE, RED, AnyPanel, Look, Size, Steps, Text, lines, tile
from .tables import Column, grid
from .targets import Target

RESULT_WORDS = {
    "accepted": ("accepted", GREEN),
    "duplicate": ("duplicate", BLUE),
    "late": ("late", ORANGE),
    "stale": ("stale", PURPLE),
    "limited": ("limited", GREY),
    "invalid": ("invalid", RED),
}
ROUND_FIELDS = ("round_num", "version", "ready", "quorum", *RESULT_WORDS, "extended", "quorum_s", "lasted_s")
TITLES = {"round_num": "round", "quorum_s": "to quorum", "lasted_s": "to close"}
COLUMNS = (
    Column("Time", "Closed", 180, "dateTimeAsLocal"),
    Column("model", "Model"),
    *(Column(name, TITLES.get(name, name), 112, "s" if name.endswith("_s") else "none") for name in ROUND_FIELDS),
)
CLOSINGS = {
    "by their quorum": ("by their quorum", GREEN),
    "by their deadline": ("by their deadline", ORANGE),
    "deadlines extended": ("deadlines extended", RED),
}
ODD: Steps = ((None, GREEN), (1, ORANGE))
NONE = "no round has closed in this time"


def build() -> model.Dashboard:
    """Counts of the chosen time, then how long, who, and what became of it; the latest rounds last."""
    return page("rounds", "Tegu: rounds", "How rounds go.", [*_counts(), *_history(), _latest()])


def _counts() -> list[AnyPanel]:
    def count(what: str, title: str, help: str, unit: str = "none", colours: Steps = PLAIN) -> AnyPanel:
        return tile(Text(title, help, NONE), Size(4, 3), in_all(what, "round", SCOPE), unit, colours)

    return [
        count('count("round_num") AS "rounds"', "Rounds closed", "In the chosen time."),
        count('median("quorum_s") AS "quorum"', "Time to quorum", "Median, of the rounds that reached it.", "s"),
        count('median("lasted_s") AS "lasted"', "Length", "Median from opening to close.", "s"),
        count('sum("accepted") AS "accepted"', "Updates accepted", "Merged into an initialization."),
        count(
            'sum("accepted") / (sum("accepted") + sum("duplicate") + sum("late") + sum("stale") + sum("limited")'
            ' + sum("invalid")) AS "part"',
            "Accepted of all",
            "The part of the updates that came which was merged.",
            "percentunit",
            ((None, ORANGE), (0.9, GREEN)),
        ),
        count('sum("extended") AS "extended"', "Extended", "Deadlines that passed with no update at all.", "none", ODD),
    ]


def _history() -> list[AnyPanel]:
    took = 'median("quorum_s") AS "quorum", median("lasted_s") AS "lasted", max("lasted_s") AS "longest"'
    sums = ", ".join(f'sum("{name}") AS "{name}"' for name in RESULT_WORDS)
    who = 'mean("ready") AS "ready", mean("quorum") AS "quorum", mean("accepted") AS "accepted"'
    half, names = Size(12, 8), {"ready": ("ready", GREEN), "quorum": ("quorum", GREY), "accepted": ("accepted", BLUE)}
    lengths = {"quorum": ("to quorum", GREEN), "lasted": ("to close", BLUE), "longest": ("to close, longest", GREY)}
    ways = [
        Target(over_time('count("quorum_s") AS "quorum"', "round", SCOPE), "by their quorum"),
        Target(over_time('count("lasted_s") - count("quorum_s") AS "deadline"', "round", SCOPE), "by their deadline"),
        Target(over_time('sum("extended") AS "extended"', "round", SCOPE), "deadlines extended"),
    ]
    return [
        lines(
            Text(
                "Time to quorum and length",
                "From the opening of a round; no time to quorum: its deadline closed it.",
                NONE,
            ),
            half,
            [Target(over_time(took, "round", SCOPE), "$col")],
            Look("s", every="1m", names=lengths),
        ),
        lines(
            Text("What became of the updates", "By the coordinator's answer, in each bar's time.", NONE),
            half,
            [Target(over_time(sums, "round", SCOPE), "$col")],
            Look(bars=True, stacked=True, every="10m", names=RESULT_WORDS),
        ),
        lines(
            Text(
                "Ready, quorum and accepted", "Devices that were ready, updates asked for, updates merged: means.", NONE
            ),
            half,
            [Target(over_time(who, "round", SCOPE), "$col")],
            Look(every="1m", filled=0, names=names, areas=("ready",), dashed=("quorum",)),
        ),
        lines(
            Text(
                "How rounds close", "Rounds, those that reached their quorum, and deadlines without any update.", NONE
            ),
            half,
            ways,
            Look(bars=True, stacked=True, every="10m", names=CLOSINGS),
        ),
    ]


def _latest() -> AnyPanel:
    fields = ", ".join(f'"{name}"' for name in ROUND_FIELDS)
    query = f'SELECT "model", {fields} FROM "round" WHERE $timeFilter AND {SCOPE} ORDER BY time DESC LIMIT 50'
    text = Text("Latest rounds", "The last 50, newest first; times in seconds.", NONE)
    return grid(text, Size(24, 10), [Target(query)], COLUMNS, [("Closed", True)], "round_num")
