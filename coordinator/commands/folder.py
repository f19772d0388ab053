"""A registry whose folder is opened here, for commands: the same methods as registry_access.Service has over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyoxigraph import NamedNode, RdfFormat, Triple

from ..documents.things import Things
from ..matching import answer
from ..registry import Registry, Row, questions
from ..semantics import models, terms
from ..semantics.description import Description

Json = dict[str, Any]


class Folder:
    """The registry in a folder, to itself. OSError: it cannot be had; made: it may be new."""

    def __init__(self, folder: Path, site: str, made: bool) -> None:
        if not made and not folder.is_dir():
            raise OSError(
                f"there is no registry in {folder}: name its folder by --folder, or start one with `tegu registry serve`"
            )
        self._registry = Registry(folder, site)
        self._things = Things(self._registry, lambda: datetime.now(UTC))
        self.site = site
        self.notes: list[str] = []

    def close(self) -> None:
        """The lock of the folder is free: nothing holds the store any more."""
        self._registry.close()
        self._registry.listeners.clear()
        del self._things, self._registry

    def questions(self) -> list[Json]:
        return [
            {
                "name": one.name,
                "says": one.says,
                "parameters": {name: {"kind": kind, "means": means} for name, (kind, means) in one.parameters.items()},
            }
            for one in questions().values()
        ]

    def ask(self, question: str, **given: str | float) -> list[Row]:
        try:
            return answer(self._registry, question, **given)
        except KeyError:
            raise ValueError(f"there is no question {question!r}") from None

    def select(self, text: str) -> list[Row]:
        try:
            return self._registry.select(text)
        except SyntaxError as error:
            raise ValueError(f"the query cannot be read: {error}") from error

    def put_thing(self, document: Json) -> tuple[str, bool]:
        entry, new = self._things.put(document)
        return entry.id, new

    def patch_thing(self, id: str, patch: Json) -> None:
        self._there(id)
        self._things.patch(id, patch)

    def remove_thing(self, id: str) -> None:
        try:
            self._things.remove(id)
        except KeyError:
            self._there(id)
            raise

    def _there(self, id: str) -> None:
        if self._things.get(id) is None:
            raise ValueError(f"{id} has no Thing Description here: it was imported, and cannot be changed by itself")

    def put_model(self, name: str, description: Description) -> str:
        iri = terms.model(self.site, name)
        self._registry.replace_graph(iri, models.triples(description, iri, self.site))
        return iri.value

    def put_graphs(self, graphs: Mapping[NamedNode, Sequence[Triple]]) -> None:
        self._registry.replace_graphs(graphs)

    def export(self, form: RdfFormat) -> bytes:
        return self._registry.export(form)
