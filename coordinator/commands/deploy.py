"""`tegu deploy`: a model to the devices that a condition selects, stage by stage, over the registry's HTTP service.

    tegu deploy presence --where 'room type = office, has CO2' --metric 'loss_after <= 0.5'

It shows the plan, asks, starts, and follows until the end. Ending it (Ctrl-C) ends the watching, not the deployment: that
is the service's. On a terminal the picture is drawn again in place; elsewhere each change is a line.
"""

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import deploy_words, tables
from .access import AccessError, find_service
from .http import Service

LOOK_S = 1.0
PATIENCE_S = 600.0
OVER = ("done", "rolled back", "aborted", "failed")
ORDERS = ("pause", "resume", "rollback", "abort")
Json = dict[str, Any]


def run(arguments: list[str]) -> int:
    """The command. 0: done; 1: it was rolled back or ended, or something failed; 2: called wrongly."""
    parser = _parser()
    told = parser.parse_args(arguments)
    number, order = _order(told)
    if bool(told.model) == bool(order):
        parser.error("name a MODEL, or say one of --list, --show N, " + ", ".join(f"--{word} N" for word in ORDERS))
    try:
        access = find_service(told.folder, told.url, told.token_file)
        if order == "list":
            return _list(access, told.json)
        if order == "show":
            return _show(access, number, told.json)
        if order:
            return _say_to(access, number, order, told)
        return _deploy(access, told)
    except KeyboardInterrupt:
        sys.stderr.write(
            "\ntegu deploy: not watched any more; the deployment goes on. `tegu deploy --list` shows it.\n"
        )
        return 1
    except (AccessError, OSError, ValueError) as error:
        sys.stderr.write(f"tegu deploy: {tables.plain(str(error))}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tegu deploy", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("model", nargs="?", default="", metavar="MODEL")
    parser.add_argument("--where", default="", metavar="CONDITION", help="which devices: 'room type = office, has CO2'")
    parser.add_argument("--metric", default="", help="what must hold to go on: 'loss_after <= 0.5'")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, metavar="SECONDS", help="a stage; default: 600")
    parser.add_argument(
        "--samples", type=int, default=1, help="telemetries a device that the metric is told; default: 1"
    )
    parser.add_argument("--plan", action="store_true", help="show who would get it, and end")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--list", action="store_true", help="all deployments")
    parser.add_argument("--show", type=int, metavar="N", help="one of them")
    for word in ORDERS:
        parser.add_argument(f"--{word}", type=int, metavar="N")
    parser.add_argument("--json", action="store_true", help="for programs: one line of JSON for each change")
    parser.add_argument("--folder", type=Path, default=None, help="of the registry whose service it is")
    parser.add_argument("--url", default="", help="of the service, like http://127.0.0.1:8480")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with the token of the service")
    return parser


def _order(told: argparse.Namespace) -> tuple[int, str]:
    """What is to be done with which deployment; ('', 0) for none of it."""
    if told.list:
        return 0, "list"
    given = [(getattr(told, word), word) for word in ("show", *ORDERS) if getattr(told, word) is not None]
    return given[0] if given else (0, "")


def _list(access: Service, as_json: bool) -> int:
    found = access.call("GET", "/registry/deployments")
    _say([json.dumps(found)] if as_json else deploy_words.listed(found, tables.width()))
    return 0


def _show(access: Service, number: int, as_json: bool) -> int:
    found = access.call("GET", f"/registry/deployments/{number}")
    _say([json.dumps(found)] if as_json else deploy_words.picture(found, tables.width()))
    return 0


def _say_to(access: Service, number: int, order: str, told: argparse.Namespace) -> int:
    found = access.call("POST", f"/registry/deployments/{number}/{order}")
    if order == "rollback":
        return _follow(access, number, told.json, "rolled back")
    _say([json.dumps(found)] if told.json else deploy_words.picture(found, tables.width()))
    return 0


def _deploy(access: Service, told: argparse.Namespace) -> int:
    wanted = {
        "model": told.model,
        "where": told.where,
        "metric": told.metric,
        "patience_s": told.patience,
        "samples": told.samples,
    }
    planned = access.call("POST", "/registry/deployments", wanted | {"plan_only": True})
    if told.plan or not told.json:
        _say([json.dumps(planned)] if told.json else deploy_words.plan(planned, tables.width()))
    if told.plan:
        return 0
    if not told.yes and not _agreed():
        sys.stderr.write("tegu deploy: nothing was started\n")
        return 1
    started = access.call("POST", "/registry/deployments", wanted | {"plan_only": False})
    return _follow(access, int(started["number"]), told.json, "done")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise ValueError("nobody is here to be asked whether to start it; say --yes")
    sys.stdout.write("Start it? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _follow(access: Service, number: int, as_json: bool, wanted: str) -> int:
    """Show it until it is over. 0: it ended as wanted."""
    show = _show_json() if as_json else _redraw() if sys.stdout.isatty() else _show_changes()
    found: Json = {}
    for found in _states(lambda: dict(access.call("GET", f"/registry/deployments/{number}"))):
        show(found)
    if not as_json:
        _say([deploy_words.ended(found)])
    return 0 if found["status"] == wanted else 1


def _states(look: Callable[[], Json]) -> Iterator[Json]:
    """The deployment as it is now, once a second, until it is over."""
    while True:
        found = look()
        yield found
        if found["status"] in OVER:
            return
        threading.Event().wait(LOOK_S)


def _show_json() -> Callable[[Json], None]:
    last = ""

    def show(found: Json) -> None:
        nonlocal last
        line = json.dumps(found)
        if line != last:
            _say([line])
        last = line

    return show


def _show_changes() -> Callable[[Json], None]:
    last: Json = {}

    def show(found: Json) -> None:
        nonlocal last
        _say(deploy_words.changes(last, found))
        last = found

    return show


def _redraw() -> Callable[[Json], None]:
    height = 0

    def show(found: Json) -> None:
        nonlocal height
        lines = deploy_words.picture(found, tables.width())
        sys.stdout.write(f"\x1b[{height}A\x1b[J" if height else "")
        _say(lines)
        height = len(lines)

    return show


def _say(lines: list[str]) -> None:
    tables.say(lines)
