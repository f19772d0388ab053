"""A table of many rows of which the browser is sent one page: searched, sorted and cut here. On a phone its rows are cards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nicegui import ui
from nicegui.events import GenericEventArguments

T = TypeVar("T")
PAGE_ROWS = 25

_HEADER = """
<q-tr :props="props">
  <q-th v-for="col in props.cols" :key="col.name" :props="props" :title="col.hint">{{ col.label }}</q-th>
</q-tr>"""
_ROW = """
<q-tr :props="props" :class="{opens: props.row.opens}" :data-row="props.row.id">
  <q-td v-for="col in props.cols" :key="col.name" :props="props" :data-label="col.label"
        :class="['cell-' + col.name, props.row[col.name].tone ? 'is-' + props.row[col.name].tone : '', {quiet: props.row[col.name].quiet}]">
    <span v-if="props.row[col.name].dot" class="dot" :class="'state-' + props.row[col.name].dot"></span>
    <a v-if="props.row[col.name].href" :href="props.row[col.name].href">{{ props.row[col.name].text }}</a>
    <span v-else>{{ props.row[col.name].text }}</span>
    <span v-if="props.row[col.name].bar !== undefined" class="meter"><i :style="{width: props.row[col.name].bar + '%'}"></i></span>
  </q-td>
</q-tr>"""


@dataclass(frozen=True)
class Cell:
    """What stands in a cell. quiet: it need not be said on a phone. dot: a state. bar: percent."""

    text: str
    tone: str = ""
    quiet: bool = False
    dot: str = ""
    href: str = ""
    bar: float | None = None

    def told(self) -> dict[str, Any]:
        """Only what is set: it goes to the browser again and again."""
        told: dict[str, Any] = {"text": self.text}
        told |= {word: value for word in ("tone", "quiet", "dot", "href") if (value := getattr(self, word))}
        return told if self.bar is None else told | {"bar": max(0.0, min(100.0, self.bar))}


@dataclass(frozen=True)
class Column(Generic[T]):
    """hint: what it means, in a sentence. key: sorts rows; None: not sorted by."""

    name: str
    label: str
    hint: str
    cell: Callable[[T], Cell]
    key: Callable[[T], Any] | None = None
    right: bool = False
    falling: bool = True  # the first click on its head sorts the largest first


class Listing(Generic[T]):
    """Rows in the order that they are given in, until someone sorts them."""

    def __init__(self, columns: Sequence[Column[T]], row_id: Callable[[T], str], opens: bool = False) -> None:
        self._columns, self._row_id, self._opens = {column.name: column for column in columns}, row_id, opens
        self._found: Sequence[T] = ()
        self._sort, self._descending, self._page = "", False, 0
        self._shown: tuple[list[dict[str, Any]], dict[str, Any]] | None = None
        with ui.element("div").classes("table-place"):
            self._table = ui.table(columns=[_head(column) for column in columns], rows=[], row_key="id")
            self._table.classes("listing").props("flat hide-bottom")
            self._table.add_slot("header", _HEADER)
            self._table.add_slot("body", _ROW)
            self._table.on("request", self._asked)
        self._empty = ui.label().classes("empty")
        with ui.element("div").classes("pager") as self._pager:
            self._back = ui.button(icon="chevron_left", on_click=lambda: self._turn(-1)).props(
                "flat round dense aria-label='page before'"
            )
            self._where = ui.label()
            self._on = ui.button(icon="chevron_right", on_click=lambda: self._turn(1)).props(
                "flat round dense aria-label='next page'"
            )
        self._draw()

    def show(self, found: Sequence[T], empty: str) -> None:
        """All rows there are; empty: what to say if there are none."""
        self._found = found
        self._empty.set_text(empty)
        self._draw()

    def _asked(self, event: GenericEventArguments) -> None:
        asked = event.args["pagination"]
        self._sort, self._descending = asked.get("sortBy") or "", bool(asked.get("descending"))
        self._page = 0
        self._draw()

    def _turn(self, by: int) -> None:
        self._page += by
        self._draw()

    def _draw(self) -> None:
        found = list(self._found)
        column = self._columns.get(self._sort)
        if column is not None and column.key is not None:
            key = column.key
            known = [one for one in found if key(one) is not None]
            known.sort(key=key, reverse=self._descending)
            found = known + [one for one in found if key(one) is None]
        pages = max(1, -(-len(found) // PAGE_ROWS))
        self._page = max(0, min(self._page, pages - 1))
        start = self._page * PAGE_ROWS
        self._say_where(start, len(found), pages)
        rows = [self._row(one) for one in found[start : start + PAGE_ROWS]]
        order = {"page": 1, "rowsPerPage": 0, "rowsNumber": len(found), "sortBy": self._sort or None}
        shown = (rows, order | {"descending": self._descending})
        if shown != self._shown:
            self._shown = shown
            self._table.rows, self._table.pagination = shown

    def _say_where(self, start: int, count: int, pages: int) -> None:
        self._table.set_visibility(count > 0)
        self._empty.set_visibility(count == 0)
        self._pager.set_visibility(pages > 1)
        self._where.set_text(f"{start + 1:,} to {min(start + PAGE_ROWS, count):,} of {count:,}")
        self._back.set_enabled(self._page > 0)
        self._on.set_enabled(self._page < pages - 1)

    def _row(self, one: T) -> dict[str, Any]:
        cells = {name: column.cell(one).told() for name, column in self._columns.items()}
        return {"id": self._row_id(one), "opens": self._opens, **cells}


def _head(column: Column[Any]) -> dict[str, Any]:
    return {
        "name": column.name,
        "label": column.label,
        "field": column.name,
        "hint": column.hint,
        "align": "right" if column.right else "left",
        "sortable": column.key is not None,
        "sortOrder": "da" if column.falling else "ad",
    }
