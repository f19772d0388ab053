"""What passes while a round is open, and the point that it becomes when it closes. No I/O, no clock."""

from dataclasses import dataclass, field

from tegu.wire.messages import Round

from .metrics import RESULTS, Value


@dataclass
class Tally:
    """Counts since the last round closed."""

    opened: Round
    since_ns: int
    extended: int = 0
    results: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    quorum_ns: int = 0
    updates: int = 0
    update_bytes: int = 0
    said_bytes: int = 0
    losses: list[tuple[float, float]] = field(default_factory=list)  # before, after
    joules: float = 0.0

    def ack(self, result: str, time_ns: int) -> None:
        """The coordinator's word on an update."""
        self.results[result] = self.results.get(result, 0) + 1
        if result == "accepted" and self.results[result] == self.opened.quorum:
            self.quorum_ns = time_ns

    def values(
        self, now_ns: int, ready: int, dense_bytes: int, outer_step_size: float | None
    ) -> dict[str, Value | None]:
        """The fields of a point of `round`. dense_bytes: what one update would be as dense float32."""
        told = len(self.losses)
        return {
            "round_num": self.opened.round_num,
            "version": self.opened.version,
            "ready": ready,
            "quorum": self.opened.quorum,
            **{name: self.results[name] for name in RESULTS},
            "extended": self.extended,
            "quorum_s": (self.quorum_ns - self.since_ns) / 1e9 if self.quorum_ns else None,
            "lasted_s": (now_ns - self.since_ns) / 1e9,
            "update_bytes": self.update_bytes,
            "dense_bytes": self.updates * dense_bytes,
            "said_bytes": self.said_bytes,
            "loss_before": sum(before for before, _ in self.losses) / told if told else None,
            "loss_after": sum(after for _, after in self.losses) / told if told else None,
            "joules": self.joules,
            "outer_step_size": outer_step_size,
        }
