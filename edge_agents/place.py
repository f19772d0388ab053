"""Where an agent takes part and as whom, and the options of `tegu agent` and `tegu fleet` that say so."""

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path

from tegu.energy import JOULES_PER_BYTE
from tegu.thing import ENERGY_SOURCES

from .meter import FOLDER
from .sources import BUILT_IN


@dataclass(frozen=True)
class Place:
    """The device id is the broker's user name. What is empty is not announced."""

    device: str
    site: str = "home"
    model: str = "presence"  # until the registry wishes for another one
    host: str = "127.0.0.1"
    port: int = 1883
    password: str = ""
    ca: str = ""  # file of the certificate authority; empty: no TLS
    state_folder: Path = Path.home() / ".local" / "state" / "tegu"
    radio: str = ""  # whose energy is modelled, Bluetooth's if it is not said
    energy: str = ""  # where its power comes from: of ENERGY_SOURCES
    room: str = ""  # an id
    query_samples: int = 64  # held-out samples scored before and after each round, at most
    telemetry_s: float = 60.0  # telemetry is said with each update, and after so long without any; 0: not without
    curve_every: int = 8  # versions from one adaptation curve to the next; 0: none


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of `tegu agent`."""
    parser = argparse.ArgumentParser("tegu agent", description="Take part in a model as one device.")
    parser.add_argument("device", help="device id, also the broker's user name (a-z, 0-9, '-')")
    add_link(parser, "or in TEGU_PASSWORD")
    add_site(parser)
    parser.add_argument("--room", default="", help="where it is, as an id: announced")
    parser.add_argument(
        "--radio", default="", choices=sorted(JOULES_PER_BYTE), help="announced; its energy is modelled"
    )
    add_telling(parser)
    parser.add_argument(
        "--meter", default="", metavar="rapl[:FOLDER]", help=f"energy measured, by the files of FOLDER ({FOLDER})"
    )
    parser.add_argument("--source", default="simulated", help=f"{', '.join(BUILT_IN)}, or your own as module:callable")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an argument of the source")
    parser.add_argument("--verbose", action="store_true")
    told = parser.parse_args(arguments)
    if any("=" not in pair for pair in told.set):
        parser.error("--set takes NAME=VALUE")
    return told


def add_link(parser: argparse.ArgumentParser, whose_password: str) -> None:
    """How the broker is reached."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--password", default=os.environ.get("TEGU_PASSWORD", ""), help=whose_password)
    parser.add_argument("--ca", default="", help="file of the certificate authority; then TLS")


def add_site(parser: argparse.ArgumentParser) -> None:
    """In what an agent takes part, and what it keeps and says of itself."""
    parser.add_argument("--site", default=Place.site)
    parser.add_argument("--model", default=Place.model)
    parser.add_argument("--state", type=Path, default=Place.state_folder, help="folder of the boot number and the twin")
    parser.add_argument("--energy", default="", choices=ENERGY_SOURCES, help="where its power comes from: announced")


def add_telling(parser: argparse.ArgumentParser) -> None:
    """How often an agent speaks of itself."""
    parser.add_argument(
        "--telemetry",
        type=seconds,
        default=Place.telemetry_s,
        metavar="SECONDS",
        help="without an update, after which it says telemetry all the same; 0: never",
    )
    parser.add_argument(
        "--curve-every",
        type=versions,
        default=Place.curve_every,
        metavar="VERSIONS",
        help="from one adaptation curve to the next; 0: none",
    )


def seconds(word: str) -> float:
    if not 0 <= float(word) < math.inf:
        raise ValueError(word)
    return float(word)


def versions(word: str) -> int:
    if int(word) < 0:
        raise ValueError(word)
    return int(word)
