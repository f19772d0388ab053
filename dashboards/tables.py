"""Tables: columns from several queries, joined by the device that a row is about."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from .panels import PLAIN, Property, Size, Steps, Text, Words, finish, properties, steps, words
from .targets import Target


class Column(NamedTuple):
    """A column of a table. name: in the answer; title: above it. properties: as Grafana's field overrides call them."""

    name: str
    title: str
    width: int = 0
    unit: str = ""
    properties: tuple[Property, ...] = ()


def mapped(texts: Words) -> Property:
    """Of a column: values shown as (text, colour)."""
    return "mappings", words(texts)


def coloured(what: str = "background", row: bool = False) -> Property:
    """Of a column: its cells, their text or the whole row in the colour of the value."""
    if what == "text":
        return "custom.cellOptions", common_model.TableColorTextCellOptions()
    mode = common_model.TableCellBackgroundDisplayMode.BASIC
    return "custom.cellOptions", common_model.TableColoredBackgroundCellOptions(mode, row)


def limited(colours: Steps) -> Property:
    """Of a column: thresholds of its own."""
    return "thresholds", steps(colours).build()


def linked(title: str, address: str) -> Property:
    """Of a column: where its cells lead."""
    return "links", [{"title": title, "url": address, "targetBlank": False}]


def grid(
    text: Text,
    size: Size,
    targets: Sequence[Target],
    columns: Sequence[Column],
    sort: Sequence[tuple[str, bool]],
    required: str,
) -> table.Panel:
    """A table of the columns in this order, rows of several queries joined by what they share.

    sort: titles and whether their largest is on top. required: column without which there is no row.
    """
    panel = finish(table.Panel(), text, size, targets, "none", PLAIN)
    panel = (
        panel.show_header(True).cell_height(common_model.TableCellHeight.SM).transformations(_joined(columns, required))
    )
    panel = panel.sort_by([common.TableSortByFieldState().display_name(name).desc(desc) for name, desc in sort])
    for column in columns:
        own: tuple[Property, ...] = (*column.properties, ("noValue", "-"))  # the panel's is for a table without rows
        own += (("custom.width", column.width),) if column.width else ()
        own += (("unit", column.unit),) if column.unit else ()
        panel = panel.override_by_name(column.title, properties(own))
    return panel


def _joined(columns: Sequence[Column], required: str) -> list[model.DataTransformerConfig]:
    """Only these columns, rows with the same device as one, in order and by their titles."""
    names = [column.name for column in columns]
    order: dict[str, Any] = {
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": {column.name: column.title for column in columns},
        "excludeByName": {},
    }
    there: dict[str, Any] = {"fieldName": required, "config": {"id": "isNotNull", "options": {}}}
    present = {"type": "include", "match": "all", "filters": [there]}
    return [
        model.DataTransformerConfig("filterFieldsByName", options={"include": {"names": names}}),
        model.DataTransformerConfig("merge", options={}),
        model.DataTransformerConfig("filterByValue", options=present),
        model.DataTransformerConfig("organize", options=order),
    ]
