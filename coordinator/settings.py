"""What the coordinator is told, parsed once into frozen objects.

A settings file is TOML with the sections [coordinator], [model], [rounds], [monitor], [registry] and [about]; `tegu coordinator --example` prints a whole
one. A setting that is left out has the default that stands below.
"""

import json
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from tegu.model import Model
from tegu.topics import check_id
from tegu.wire import CODECS

from .algorithms import ALGORITHMS
from .semantics.about import About, checked

AlgorithmName = Literal[
    "tinyreptile", "tinymetafed", "reptile", "fedavg", "fedsgd", "fedprox", "fomaml", "fedavgm", "fedadam"
]
Schedule = Literal["constant", "linear", "cosine"]
Denominator = Literal["devices", "senders"]
TopPOf = Literal["model", "tensor"]
Adapting = Literal["all", "local"]
Server = Literal["", "interpolate", "momentum", "adam"]
Initial = Literal["glorot", "fan-in"]
InfluxdbApi = Literal["1", "2"]
T = TypeVar("T")
WORDS = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
SECTIONS = ("coordinator", "model", "rounds", "monitor", "registry", "about")
LONGEST_DEADLINE_S = 30 * 24 * 3600.0
ABOUT_BYTES = 4096
ABOUT_LISTS = ("sensors", "derived_from")  # separated by commas in a settings file


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True)
class LinkSettings:
    """Where the broker is and where the coordinator keeps what it must not forget."""

    site: str = "home"
    host: str = "127.0.0.1"
    port: int = 1883
    user: str = "coordinator"
    password: str = ""
    ca: str = ""  # file of the certificate authority; empty: no TLS
    checkpoint: Path = Path("coordinator.sqlite")

    def __post_init__(self) -> None:
        check_id(self.site, "site")


@dataclass(frozen=True)
class ModelSettings:
    """The model and how a device learns it."""

    name: str
    spec: str
    seed: int = 1
    first_bias: float = 0.0  # biases of the first layer start uniform in +- this
    initial: Initial = "glorot"  # weights start uniform in +- sqrt(6 / (inputs + outputs)), or +- 1 / sqrt(inputs)
    inner_step_size: float = 0.05
    samples: int = 32  # a device learns from in a round
    top_p: float = 10.0  # percent of the shared parameters that an update carries
    top_p_of: TopPOf = "model"  # of the whole model, or of each tensor (a layer's weights, a layer's biases)
    residual: bool = True  # what an update leaves out goes with a later one
    rebuild: int = 0  # samples, of a round's, from which the local layers alone learn, before the shared ones do
    adapt: Adapting = "all"  # the layers that learn outside the rounds
    top_p_down: float = 0.0  # percent that goes down, as sparse deltas between versions; 0: each version whole
    codec: str = "int8"  # of updates
    init_codec: str = "int8"  # of the initialization as published; the coordinator itself keeps float32
    heap_bytes: int = 0  # a device needs free; 0: worked out by tegu.memory
    # What only devices can do that keep a round's samples and a second copy of the weights; simulated ones do:
    passes: int = 1  # over the round's samples
    batch: int = 1  # samples a step; 0: all of them
    proximal: float = 0.0  # FedProx's pull back to the initialization
    query: int = 0  # further samples, whose mean gradient at the adapted weights is the delta (first-order MAML)

    def __post_init__(self) -> None:
        check_id(self.name, "model name")
        Model(self.spec)
        _require(self.codec in CODECS and self.init_codec in CODECS, f"a codec is one of {', '.join(CODECS)}")
        _require(0 < self.inner_step_size <= 1, "inner_step_size must be above 0 and at most 1")
        _require(0 <= self.first_bias <= 10, "first_bias must be 0 to 10")
        _require(0 <= self.heap_bytes <= 0xFFFFFFFF, "heap_bytes must not be negative")
        _require(1 <= self.samples <= 1_000_000, "samples must be 1 to 1,000,000")
        _require(0 < self.top_p <= 100, "top_p must be above 0 and at most 100 percent")
        _require(0 <= self.top_p_down <= 100, "top_p_down must be 0 to 100 percent")
        _require(not self.top_p_down or Model(self.spec).shared_size > 0, "top_p_down needs a layer that is shared")
        for name, kind in (("top_p_of", TopPOf), ("adapt", Adapting), ("initial", Initial)):
            _require(getattr(self, name) in get_args(kind), f"{name} must be one of {', '.join(get_args(kind))}")
        _require(0 <= self.rebuild < self.samples, "rebuild must leave at least one of the round's samples")
        local = any(layer.local for layer in Model(self.spec).layers)
        _require(local or (not self.rebuild and self.adapt == "all"), "rebuild and adapt need a layer that is local")
        _require(self.passes >= 1 and self.batch >= 0 and self.query >= 0, "passes, batch or query is too small")
        _require(0 <= self.proximal <= 1000, "proximal must be 0 to 1000")

    @property
    def online(self) -> bool:
        """Whether a device learns in one pass, sample by sample, and keeps none."""
        return self.passes == 1 and self.batch == 1 and not self.query and not self.proximal


@dataclass(frozen=True)
class RoundSettings:
    """When a round opens and closes, and what becomes of its updates."""

    algorithm: AlgorithmName = "tinymetafed"  # tinyreptile: one device a round, in turn
    server: Server = ""  # what becomes of the mean delta, if not what is the algorithm's own
    rounds: int = 0  # then the last initialization stays for use; 0: for ever
    quorum: int = 2  # updates that close a round
    deadline_s: float = 60.0  # closes it anyway
    interval_s: float = 0.0  # a round lasts at least this long, however soon its quorum is in
    wait_for: int = 0  # devices ready before the first round opens; 0: the quorum
    join_percent: float = 100.0
    outer_step_size: float = 1.0
    schedule: Schedule = "constant"  # of the outer step; linear, cosine: from outer_step_size to zero over `rounds`
    warm_up: int = 0  # rounds over which the outer step grows at the beginning
    inner_first: float = 0.0  # the inner step of the first round, from which it goes to the model's; 0: no change
    inner_schedule: Schedule = "linear"
    top_p_first: float = 0.0  # percent, likewise
    top_p_schedule: Schedule = "linear"
    denominator: Denominator = "devices"
    clip: float = 2.0  # times the median norm of the round; 0: no clipping

    def __post_init__(self) -> None:
        for name, kind in (
            ("algorithm", AlgorithmName),
            ("server", Server),
            ("schedule", Schedule),
            ("inner_schedule", Schedule),
            ("top_p_schedule", Schedule),
            ("denominator", Denominator),
        ):
            _require(getattr(self, name) in get_args(kind), f"{name} must be one of {', '.join(get_args(kind))}")
        least = min(self.rounds, self.wait_for, self.warm_up)
        _require(least >= 0, "rounds, wait_for and warm_up must not be negative")
        _require(0 <= self.inner_first <= 1, "inner_first must be 0 to 1")
        _require(0 <= self.top_p_first <= 100, "top_p_first must be 0 to 100 percent")
        falling = self.schedule != "constant" or self.inner_first or self.top_p_first
        _require(self.rounds > 0 or not falling, "a schedule that changes needs the number of rounds")
        _require(self.quorum >= 1, "quorum must be at least 1")
        _require(1 <= self.deadline_s <= LONGEST_DEADLINE_S, "deadline_s must be 1 to 2,592,000 (30 days)")
        _require(0 <= self.interval_s <= self.deadline_s, "interval_s must be 0 to deadline_s")
        _require(0 < self.join_percent <= 100, "join_percent must be above 0 and at most 100")
        _require(0 < self.outer_step_size <= 100, "outer_step_size must be above 0 and at most 100")
        _require(0 <= self.clip <= 1000, "clip must be 0 to 1000")

    @property
    def serial(self) -> bool:
        return ALGORITHMS[self.algorithm].serial

    @property
    def first_wait(self) -> int:
        return self.wait_for or (1 if self.serial else self.quorum)


@dataclass(frozen=True)
class MonitorSettings:
    """What is kept of what happens, and where it can be seen."""

    store: str = "telemetry.sqlite"  # file of the embedded store, which `tegu watch` shows; empty: none
    keep_days: float = 30.0  # in the embedded store
    store_mb: int = 1000  # megabytes it may take; beyond that the oldest points go
    influxdb: str = ""  # address of an InfluxDB, like http://127.0.0.1:8086; empty: none
    influxdb_api: InfluxdbApi = "2"  # 2: InfluxDB 2 and 3, also 1.8 and VictoriaMetrics; 1: any 1.x
    org: str = "tegu"  # of InfluxDB 2
    bucket: str = "tegu"  # of InfluxDB 2; the database of 1.x
    token_file: str = ""  # file with the token of InfluxDB 2, or with "user:password" of 1.x; empty: none is asked for
    spool: str = "spool.sqlite"  # file where points wait while InfluxDB is away
    spool_mb: int = 256  # megabytes it may take; beyond that the oldest points go
    prometheus: str = ""  # address to serve Prometheus at, like 127.0.0.1:9464; empty: none
    homeassistant: str = (
        ""  # discovery prefix of Home Assistant, usually homeassistant; empty: devices are not announced
    )
    silent_s: float = 900.0  # a ready device not heard for so long is silent
    every_s: float = 60.0  # between two points of the fleet and of the coordinator

    def __post_init__(self) -> None:
        _require(self.influxdb_api in get_args(InfluxdbApi), "influxdb_api must be 1 or 2, in quotes")
        _require(
            not self.influxdb or self.influxdb.startswith(("http://", "https://")), "influxdb must be http(s)://..."
        )
        _require(not self.influxdb or self.spool != "", "spool needs the name of a file")
        _require(0 < self.keep_days <= 36500, "keep_days must be above 0")
        for name in ("spool_mb", "store_mb"):
            _require(1 <= getattr(self, name) <= 1_000_000, f"{name} must be 1 to 1,000,000")
        plain = not set("+#") & set(self.homeassistant) and "" not in self.homeassistant.split("/")
        _require(plain or not self.homeassistant, "homeassistant must be a topic like homeassistant, with no + or #")
        _require(1 <= self.silent_s <= LONGEST_DEADLINE_S, "silent_s must be 1 to 2,592,000 (30 days)")
        _require(0.1 <= self.every_s <= 3600, "every_s must be 0.1 to 3600")
        if self.prometheus:
            _, colon, port = self.prometheus.rpartition(":")
            _require(bool(colon) and port.isdecimal() and int(port) < 65536, "prometheus must be ADDRESS:PORT")

    @property
    def wanted(self) -> bool:
        """Whether anything of this is to be done at all."""
        return bool(self.store or self.influxdb or self.prometheus or self.homeassistant)


@dataclass(frozen=True)
class RegistrySettings:
    """Which devices a round is opened for. Without an address: for all."""

    address: str = ""  # of `tegu registry serve`, like http://127.0.0.1:8480; empty: none
    where: str = ""  # condition on devices, like room type = office, has CO2; or a SPARQL query that gives ?device
    token_file: str = ""  # file with the registry's token

    def __post_init__(self) -> None:
        http = self.address.startswith(("http://", "https://"))
        _require(not self.address or http, "address must be http(s)://...")
        _require(bool(self.address) or not self.where, "where needs the address of a registry")


@dataclass(frozen=True)
class AboutSettings:
    """What the registry and people should know of the model (coordinator.semantics.about); published beside it if there is anything."""

    name: str = ""
    description: str = ""
    input: str = ""  # what it is, in words
    output: str = ""
    sensors: str = ""  # channels that the inputs come from, like co2, temperature, humidity
    category: str = ""  # classification, regression, ...
    data: str = ""  # that it was trained on before: a name or an address
    licence: str = ""
    creator: str = ""
    derived_from: str = ""  # models of this site, or IRIs

    def __post_init__(self) -> None:
        About(**{"name": "-", **checked(self.told())})
        _require(len(json.dumps(self.told())) <= ABOUT_BYTES, f"all together may have {ABOUT_BYTES} bytes")

    def told(self) -> dict[str, Any]:
        """As it is published: what there is."""
        texts = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        lists = {name: [word.strip() for word in texts[name].split(",")] for name in ABOUT_LISTS if name in texts}
        return texts | lists


@dataclass(frozen=True)
class Settings:
    link: LinkSettings
    model: ModelSettings
    rounds: RoundSettings
    monitor: MonitorSettings = MonitorSettings(store="")  # for those who make them in code; a file has its defaults
    registry: RegistrySettings = RegistrySettings()
    about: AboutSettings = AboutSettings()


def load(path: Path) -> Settings:
    """Read a settings file. ValueError names the file, the section and the word that is wrong."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    return parse(tables, str(path))


def example() -> Settings:
    """The presence model for a handful of rooms, to begin a settings file with."""
    return Settings(
        LinkSettings(password="secret"),
        ModelSettings(
            "presence", "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax", first_bias=1.0, inner_step_size=0.04
        ),
        RoundSettings(deadline_s=600.0, interval_s=60.0, outer_step_size=0.3),
        MonitorSettings(),
        about=AboutSettings(
            name="Room presence",
            description="Whether someone is in the room, from its air.",
            sensors="co2, temperature, humidity",
        ),
    )


def to_toml(settings: Settings) -> str:
    """A settings file that load() reads as these settings."""
    lines = []
    for title, section in (
        ("coordinator", settings.link),
        ("model", settings.model),
        ("rounds", settings.rounds),
        ("monitor", settings.monitor),
        ("registry", settings.registry),
        ("about", settings.about),
    ):
        lines.append(f"[{title}]")
        for field in fields(section):
            value = getattr(section, field.name)
            lines.append(f"{field.name} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    return "\n".join(lines) + "\n"


def parse(tables: dict[str, Any], where: str) -> Settings:
    """The settings in the tables of SECTIONS."""
    unknown = set(tables) - set(SECTIONS)
    _require(not unknown, f"{where}: no section [{', '.join(sorted(unknown))}]; there are {', '.join(SECTIONS)}")
    return Settings(
        _section(LinkSettings, tables.get("coordinator", {}), f"{where} [coordinator]"),
        _section(ModelSettings, tables.get("model", {}), f"{where} [model]"),
        _section(RoundSettings, tables.get("rounds", {}), f"{where} [rounds]"),
        _section(MonitorSettings, tables.get("monitor", {}), f"{where} [monitor]"),
        _section(RegistrySettings, tables.get("registry", {}), f"{where} [registry]"),
        _section(AboutSettings, tables.get("about", {}), f"{where} [about]"),
    )


def _section(kind: type[T], table: Any, where: str) -> T:
    _require(isinstance(table, dict), f"{where} must be a table of settings")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in table:
        _require(name in known, f"{where}: no setting {name}; there are {', '.join(known)}")
    for name, field in known.items():
        _require(name in table or field.default is not MISSING, f"{where}: {name} is missing")
    values = {name: _value(value, known[name].type, f"{where}: {name}") for name, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _value(value: Any, wanted: Any, where: str) -> Any:
    """value as the field's type, which the words of WORDS name."""
    if wanted is float and type(value) is int:
        return float(value)
    expected = str if wanted is Path or get_origin(wanted) is Literal else wanted
    _require(type(value) is expected, f"{where} must be {WORDS[expected]}, not {value!r}")
    return Path(value) if wanted is Path else value
