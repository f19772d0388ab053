"""A query of InfluxDB as Grafana keeps it: the foundation SDK has no module for this datasource."""

from dataclasses import dataclass

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from .influxql import checked

SOURCE = DataSourceRef(type_val="influxdb", uid="${datasource}")


@dataclass(frozen=True)
class Target(Dataquery, Builder[Dataquery]):
    """One query. alias: name of its lines, like $tag_device or $col; without it the answer is one table."""

    text: str
    alias: str = ""
    ref: str = "A"
    source: DataSourceRef = SOURCE

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", checked(self.text))

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        """As the datasource's own editor would have saved it."""
        return {
            "refId": self.ref,
            "datasource": self.source,
            "query": self.text,
            "rawQuery": True,
            "alias": self.alias,
            "resultFormat": "time_series" if self.alias else "table",
        }


def lettered(targets: tuple[Target, ...]) -> list[Target]:
    """The same queries as A, B, C ..."""
    return [Target(each.text, each.alias, chr(ord("A") + place), each.source) for place, each in enumerate(targets)]
