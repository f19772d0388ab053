"""The coordinator itself: whether it keeps up, and whether what it measures is kept."""

from grafana_foundation_sdk.models import dashboard as model

from .influxql import LATEST, SCOPE, at_end, over_time
from .page import page
from .panels import GREEN, ORANGE, PLAIN, RED, AnyPanel, Look, Size, Steps, Text, lines, tile
from .targets import Target

SPOOL: Steps = ((None, GREEN), (50, ORANGE), (80, RED))
ANY: Steps = ((None, GREEN), (1, RED))
CONNECTED = {"0": ("NOT CONNECTED", RED), "1": ("connected", GREEN)}
DISK: Steps = ((None, RED), (1e9, ORANGE), (5e9, GREEN))
MINUTE = Look(every="1m")
NONE = "the coordinator has not written: is it running?"


def build() -> model.Dashboard:
    """Now, then its queue, its outputs, its machine."""
    return page(
        "coordinator",
        "Tegu: coordinator",
        "Whether the coordinator keeps up, and whether what it measures is kept.",
        [*_now(), *_history()],
    )


def _now() -> list[AnyPanel]:
    def now(
        field: str, title: str, help: str, unit: str = "none", colours: Steps = PLAIN, call: str = "max"
    ) -> AnyPanel:
        latest = at_end(f'last("{field}") AS "{field}"', "coordinator", SCOPE, LATEST, "model")
        query = f'SELECT {call}("{field}") AS "{field}" FROM ({latest})'
        texts = CONNECTED if field == "connected" else {}
        return tile(Text(title, help, NONE), Size(3, 3), query, unit, colours, texts)

    return [
        now("connected", "Broker", "Whether it is connected to its broker.", call="min"),
        now("epoch", "Starts", "How often it has started."),
        now("queue_messages", "Waiting messages", "That wait for their commit."),
        now(
            "dropped_messages",
            "Dropped messages",
            "That came faster than they could be kept, since its start.",
            "none",
            ANY,
        ),
        now("failing", "Outputs that fail", "Databases that cannot be written now.", "none", ANY),
        now(
            "spool_percent",
            "Spool",
            "Points on disk for a database that is away, of what may be there.",
            "percent",
            SPOOL,
        ),
        now("lost_points", "Lost points", "That had no room, since its start.", "none", ANY),
        now("disk_free_bytes", "Free disk", "Where its checkpoint is.", "bytes", DISK, "min"),
    ]


def _told(call: str, field: str, word: str = "") -> Target:
    query = over_time(f'{call}("{field}") AS "{field}"', "coordinator", SCOPE, "model")
    return Target(query, f"$tag_model: {word}" if word else "$tag_model")


def _history() -> list[AnyPanel]:
    third, quarter = Size(8, 8), Size(6, 8)
    return [
        lines(
            Text("Waiting messages over time", "That wait for their commit; the most in each window.", NONE),
            third,
            [_told("max", "queue_messages")],
            MINUTE,
        ),
        lines(
            Text("Time of a commit", "Mean time that one took.", NONE),
            third,
            [_told("mean", "commit_ms")],
            Look("ms", every="1m"),
        ),
        lines(
            Text("Age of the round", "Since the open round was opened.", NONE),
            third,
            [_told("max", "round_age_s")],
            Look("s", every="1m"),
        ),
        lines(
            Text("Points for a database", "That wait in memory and on disk.", NONE),
            third,
            [_told("max", "waiting_points", "in memory"), _told("max", "spool_points", "on disk")],
            MINUTE,
        ),
        lines(
            Text("Spool over time", "Of what may be on disk: at 100 % the oldest points go.", NONE),
            third,
            [_told("max", "spool_percent")],
            Look("percent", SPOOL, highest=100, line=True, every="1m"),
        ),
        lines(
            Text("Points written", "In each bar's time, by all outputs.", NONE),
            third,
            [_told("sum", "written_points")],
            Look(bars=True, every="10m"),
        ),
        lines(
            Text(
                "Dropped, lost, rejected", "Messages dropped, points lost and points rejected, since its start.", NONE
            ),
            quarter,
            [
                _told("max", "dropped_messages", "messages dropped"),
                _told("max", "lost_points", "points lost"),
                _told("max", "rejected_points", "points rejected"),
            ],
            MINUTE,
        ),
        lines(
            Text("Memory", "Of its processes.", NONE),
            quarter,
            [_told("max", "memory_bytes")],
            Look("bytes", every="1m"),
        ),
        lines(
            Text("Processor", "Percent of one core, its processes together.", NONE),
            quarter,
            [_told("mean", "cpu_percent")],
            Look("percent", every="1m"),
        ),
        lines(
            Text("Starts over time", "Which start of it this is: each step up is a restart.", NONE),
            quarter,
            [_told("max", "epoch")],
            Look(lowest=None, filled=0, every="1m"),
        ),
    ]
