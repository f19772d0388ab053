"""The arguments of `tegu registry`: which commands there are and what each takes. Nothing is done here."""

import argparse
from collections.abc import Callable
from pathlib import Path

USUAL_FOLDER = Path("registry")
ABOUT = """The registry of a site: its devices and models as one graph, and which model fits which device."""
MORE = """Where `tegu registry serve` runs, commands ask it; else they open the folder themselves. A service is found
by --url, by TEGU_REGISTRY, or by the file that it keeps in the folder. What changes the registry wants the service's token:
--token-file, or TEGU_REGISTRY_TOKEN. Names may be short: `office-12` is the device urn:tegu:SITE:office-12, `presence` a model,
`presence:3` its version 3."""
FORMS = ("turtle", "trig", "nquads")


def parser() -> argparse.ArgumentParser:
    """Its result has `what`: the command's name."""
    made = argparse.ArgumentParser("tegu registry", description=ABOUT, epilog=MORE)
    parts = made.add_subparsers(dest="what", required=True, metavar="COMMAND")
    for add in (_serve, _add, _show, _find, _match, _query, _questions, _place, _export, _import, _validate, _retire):
        add(lambda name, told: _part(parts, name, told))
    return made


Adder = Callable[[str, str], argparse.ArgumentParser]


def _part(
    parts: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, told: str
) -> argparse.ArgumentParser:
    part = parts.add_parser(name, help=told, description=told[0].upper() + told[1:] + ".")
    where = part.add_argument_group("where the registry is")
    where.add_argument("--folder", type=Path, default=None, help=f"of the registry; default: {USUAL_FOLDER}")
    if name == "serve":
        return part
    where.add_argument("--url", default="", help="of the service, like http://127.0.0.1:8480")
    where.add_argument("--token-file", type=Path, metavar="FILE", help="with the token of the service")
    where.add_argument("--site", default="home", help="of a folder that is opened here; default: home")
    if name not in ("export",):
        part.add_argument("--json", action="store_true", help="for programs: JSON with keys that stay")
    return part


def _serve(add: Adder) -> None:
    part = add("serve", "listen to the broker, keep the graph, and serve it over HTTP until it is ended")
    part.add_argument("--site", default="home", help="default: home")
    part.add_argument("--http", default="127.0.0.1:8480", metavar="ADDRESS:PORT", help="default: 127.0.0.1:8480")
    part.add_argument("--host", default="127.0.0.1", help="of the broker; default: 127.0.0.1")
    part.add_argument("--port", type=int, default=None, help="of the broker; default: 1883, with --ca 8883")
    part.add_argument("--user", default="registry", help="at the broker; default: registry")
    part.add_argument("--password", default="", help="at the broker; better in TEGU_PASSWORD, which others do not see")
    part.add_argument("--ca", default="", metavar="FILE", help="certificate of the broker's authority: TLS")
    part.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="with the token that allows changes; default: FOLDER/token, made at the first start",
    )


def _add(add: Adder) -> None:
    part = add("add", "describe a device (a Thing Description) or a model (its file, or one of Tegu's by --spec)")
    part.add_argument("file", nargs="?", type=Path, metavar="FILE", help=".json, .jsonld, .tflite, .keras or .h5")
    part.add_argument(
        "--spec", default="", metavar="TEXT", help="a model of Tegu's: '4 | dense 8 tanh | dense 2 softmax'"
    )
    part.add_argument("--name", default="", help="of the model: a-z, 0-9 and -; default: the file's name")
    part.add_argument("--title", default="", help="of the model, for people")
    part.add_argument("--sensors", default="", metavar="LIST", help="channels that it needs: co2,temperature")
    part.add_argument(
        "--metric", action="append", default=[], metavar="NAME=VALUE", help="top-1-accuracy=92.1; again for more"
    )
    part.add_argument("--licence", default="", help="SPDX, or an address")
    part.add_argument("--data", default="", help="what it was trained on: an address or a text")


def _show(add: Adder) -> None:
    part = add("show", "all that is known of a device, model, room, version or round")
    part.add_argument("id", metavar="NAME", help="short, or the whole IRI")


def _find(add: Adder) -> None:
    part = add("find", "search names and descriptions")
    part.add_argument("words", nargs="+", metavar="WORD")


def _match(add: Adder) -> None:
    part = add("match", "which devices a model fits, or which models fit a device; with neither, all pairs")
    one = part.add_mutually_exclusive_group()
    one.add_argument("--model", default="", metavar="NAME")
    one.add_argument("--device", default="", metavar="NAME")
    part.add_argument("--train", action="store_true", help="to learn on the device, not only to run")
    part.add_argument("--metric", default="", metavar="NAME", help="best first, by this metric: top-1-accuracy")
    part.add_argument("--why", action="store_true", help="also what keeps the others out")


def _query(add: Adder) -> None:
    part = add("query", "ask a question by its name (see `questions`), or in SPARQL")
    part.add_argument("question", metavar="NAME|FILE|-", help="a question, a file with SPARQL, - for standard input")
    part.add_argument("given", nargs="*", metavar="PARAMETER=VALUE")


def _questions(add: Adder) -> None:
    add("questions", "the questions that have a name, and what each takes")


def _place(add: Adder) -> None:
    part = add("place", "say in which room a device is")
    part.add_argument("device", metavar="DEVICE")
    part.add_argument("room", metavar="ROOM", help="a-z, 0-9 and -: b1-2-07")
    part.add_argument("--type", default="", help="of the room: office, meeting-room, corridor")
    part.add_argument("--floor", default="")
    part.add_argument("--building", default="")


def _export(add: Adder) -> None:
    part = add("export", "all of the graph, to a file or to standard output")
    part.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: standard output")
    part.add_argument(
        "--format", choices=FORMS, help="default: as FILE ends, else trig; turtle joins the graphs into one"
    )


def _import(add: Adder) -> None:
    part = add("import", "take in a file of Turtle, TriG or N-Quads, as a graph of its own")
    part.add_argument("path", type=Path, metavar="FILE|FOLDER")
    part.add_argument("--name", default="", help="of the import; default: the file's name")
    part.add_argument("--authors", action="store_true", help="the folder that the ontology's authors published")


def _validate(add: Adder) -> None:
    part = add("validate", "check Thing Descriptions, changing nothing")
    part.add_argument("files", nargs="*", type=Path, metavar="FILE")
    part.add_argument("--graph", action="store_true", help="the whole graph, by our SHACL shapes")


def _retire(add: Adder) -> None:
    part = add("retire", "take a device out of the registry, after saying what changes")
    part.add_argument("device", metavar="DEVICE")
    part.add_argument("--yes", action="store_true", help="do not ask")
