"""`tegu registry COMMAND`: the graph of a site for those who run it, and for scripts (`--json`).

Every command but `serve` works on a registry_access.Access: the service if one runs, else the folder. What it finds wrong
is one sentence on standard error, and exit status 1.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyoxigraph import RdfFormat

from . import answers, tables
from . import matches as matching
from . import show as registry_show
from .access import Access, AccessError, access
from .adding import (
    add,
    import_,
    place,
    validate,
)
from .arguments import USUAL_FOLDER, parser
from .names import resolve
from .tables import say

Json = dict[str, Any]
FORMS = {"turtle": RdfFormat.TURTLE, "trig": RdfFormat.TRIG, "nquads": RdfFormat.N_QUADS}
ENDINGS = {".ttl": "turtle", ".trig": "trig", ".nq": "nquads"}


def run(arguments: list[str]) -> int:
    """The command. 0: done; 1: it failed, or what was looked at is not valid; 2: called wrongly."""
    options = parser()
    told = options.parse_args(arguments)
    wrong = _wrong(told)
    if wrong:
        options.error(wrong)
    told.folder = told.folder or USUAL_FOLDER
    try:
        if told.what == "serve":
            return _serve(told)
        if told.what == "validate" and not told.graph:
            return validate(None, told)
        with access(told.folder, told.url, told.token_file, told.site, told.what in MAKES) as to:
            status = COMMANDS[told.what](to, told)
            for note in to.notes:
                sys.stderr.write(f"tegu registry {told.what}: {note}\n")
            return status
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:
        return 0
    except ModuleNotFoundError as error:
        return _fail(told.what, f"needs {error.name}, which is not installed: pip install 'tegu[registry]'")
    except (AccessError, OSError, ValueError) as error:
        return _fail(told.what, str(error))


def _fail(what: str, sentence: str) -> int:
    sys.stderr.write(f"tegu registry {what}: {tables.plain(sentence)}\n")
    return 1


def _wrong(told: argparse.Namespace) -> str:
    """What argparse cannot see; empty: nothing."""
    if told.what == "add" and bool(told.file) == bool(told.spec):
        return "add takes a FILE, or --spec TEXT with --name NAME"
    if told.what == "add" and told.spec and not told.name:
        return "add --spec needs --name NAME"
    if told.what == "validate" and not told.files and not told.graph:
        return "validate takes FILES, or --graph"
    pairs = {"add": "metric", "query": "given"}.get(told.what)
    if pairs and any("=" not in text for text in getattr(told, pairs)):
        return f"{pairs} is NAME=VALUE"
    return ""


def _serve(told: argparse.Namespace) -> int:
    from ..registry_service import serve

    return serve(told)


# --- reading ---


def _show(to: Access, told: argparse.Namespace) -> int:
    found = registry_show.read(to.select, resolve(to.select, told.id))
    if not told.json:
        return say(registry_show.lines(found, registry_show.labels(to.select), tables.width()))
    return say(found)


def _find(to: Access, told: argparse.Namespace) -> int:
    found = to.ask("text_search", words=" ".join(told.words))
    return say({"rows": found} if told.json else answers.rows(found, tables.width(), ("kind", "thing", "name")))


def _match(to: Access, told: argparse.Namespace) -> int:
    if told.model:
        found = matching.devices(to, resolve(to.select, told.model, ["model"]), told.train, told.why)
    elif told.device:
        found = matching.models(to, resolve(to.select, told.device, ["device"]), told.train, told.metric, told.why)
    else:
        found = matching.everything(to, told.train, told.why)
    return say(found if told.json else matching.lines(found, tables.width()))


def _query(to: Access, told: argparse.Namespace) -> int:
    given = dict(text.split("=", 1) for text in told.given)
    known = {one["name"]: one for one in to.questions()}
    if told.question in known:
        found = to.ask(told.question, **_typed(to, known[told.question]["parameters"], given))
    elif given:
        raise ValueError(f"no question {told.question!r}; `tegu registry questions` lists them")
    else:
        found = to.select(_text(told.question))
    return say({"rows": found} if told.json else answers.rows(found, tables.width()))


def _typed(to: Access, parameters: Json, given: dict[str, str]) -> dict[str, str | float]:
    """Values as a question takes them: names as IRIs, numbers as numbers. ValueError: one is missing, or not known."""
    if given.keys() != parameters.keys():
        takes = ", ".join(f"{name} ({one['means']})" for name, one in parameters.items())
        raise ValueError(f"it takes {takes or 'no parameter'}")
    return {name: _value(to, name, one["kind"], given[name]) for name, one in parameters.items()}


def _value(to: Access, name: str, kind: str, text: str) -> str | float:
    if name == "models":
        return " ".join(matching.iri_of(to, "model", word) for word in text.replace(",", " ").split())
    if kind == "iri":
        return matching.iri_of(to, name, text)
    return _number(text) if kind == "number" else text


def _number(text: str) -> float:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _text(source: str) -> str:
    """SPARQL from a file, or from standard input."""
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"no question and no file {source!r}; `tegu registry questions` lists the questions") from None


def _questions(to: Access, told: argparse.Namespace) -> int:
    found = to.questions()
    return say({"questions": found} if told.json else answers.questions(found, tables.width()))


def _export(to: Access, told: argparse.Namespace) -> int:
    form = told.format or (ENDINGS.get(told.file.suffix.lower(), "trig") if told.file else "trig")
    content = to.export(FORMS[form])
    if told.file:
        told.file.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    return 0


# --- changing ---


def _retire(to: Access, told: argparse.Namespace) -> int:
    iri = resolve(to.select, told.device, ["device"])
    changes = to.ask("retirement", device=iri)
    if not told.json:
        say([f"Without {answers.short_name(iri)}:", *answers.rows(changes, tables.width())] if changes else [])
    if not told.yes and not _agreed(iri):
        return _fail("retire", "nothing was changed")
    to.remove_thing(iri)
    return say(
        {"retired": iri, "changes": changes} if told.json else [f"{answers.short_name(iri)} is out of the registry."]
    )


def _agreed(iri: str) -> bool:
    if not sys.stdin.isatty():
        raise ValueError("nobody is here to be asked; say --yes")
    sys.stdout.write(f"Take {answers.short_name(iri)} out? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMANDS: dict[str, Callable[[Access, argparse.Namespace], int]] = {
    "add": add,
    "show": _show,
    "find": _find,
    "match": _match,
    "query": _query,
    "questions": _questions,
    "place": place,
    "export": _export,
    "import": import_,
    "validate": validate,
    "retire": _retire,
}
MAKES = ("add", "import")  # commands that make a registry where there is none
