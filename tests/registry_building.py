"""A site that never was: devices, models, rooms, rounds and deployments, as many as wanted. Same seed, same site.

The rules:
- A device is one of six real boards. Its free RAM and its free flash are the board's, times something between 0.4 and 1.1:
  other programs take their part. Each of the board's sensors is there with a chance of 0.85, and each kind that a
  building has with a chance of its own (BUILDING_SENSORS).
- A model is one of 23 real ones. Its RAM and its flash are the real ones, times something between 0.5 and 2. Every third needs
  sensors of a building instead, one to three. Two of five can learn on a device, and then take two to four times the RAM.
- One device of 100 does not say its RAM, one does not say its flash, one is quarantined; one model of 50 states no flash.
- Four devices share a room, 25 rooms a floor, 8 floors a building.
- One model of 25 is federated: devices that could learn it take part, at most 400; it has 6 to 40 versions; a round selects
  60 devices of which nine of ten are counted, and the last round is open. Nine of ten have the current version in hand.
- One model of 40 is deployed, to at most 30 devices.

Each device and each model has a generator of its own, made of the seed and its number: the first ten are the same in a
large site and in a small one.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.registry_boards import BOARDS, BUILDING_SENSORS, ROOM_TYPES, ZOO, Known

SITE = "home"
STATES = {"ready": 70, "sleeping": 20, "offline": 6, "lost": 4}
FIRMWARES = ("0.1.0", "0.1.1", "0.2.0")
RADIOS = ("wifi", "ble", "802.15.4", "lora", "ethernet")
ENERGY = ("mains", "battery", "harvest")
BEGAN_S = 1_750_000_000  # of the first round
ROUND_S = 600
DEVICES_A_ROOM, ROOMS_A_FLOOR, FLOORS = 4, 25, 8
MOST_PARTICIPANTS, SELECTED, DEPLOYED = 400, 60, 30
TOP_1 = "nnet:Top_1_accuracy"


@dataclass(frozen=True)
class Room:
    """name: its id, as b1-2-07. type: office, ..."""

    name: str
    title: str = ""
    type: str = "office"
    floor: str = "1"
    building: str = "b1"


@dataclass(frozen=True)
class Device:
    """name: its id. None: it does not say. sensors: kinds, as sosax:Microphone. in_hand: versions by model."""

    name: str
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    sensors: frozenset[str] = frozenset()
    room: str | None = None
    title: str = ""
    description: str = ""
    radio: str | None = "wifi"
    energy: str | None = "mains"
    firmware: str = "0.1.0"
    state: str | None = "ready"
    boot: int = 1
    battery_percent: float | None = None
    in_hand: tuple[tuple[str, int], ...] = ()
    quarantined: str | None = None
    runs: str | None = None


@dataclass(frozen=True)
class Model:
    """name: its id. metrics: (kind, value), as ("nnet:Top_1_accuracy", 91.4). version: the current one, if it is federated."""

    name: str
    needs_ram_bytes: int | None = None
    needs_training_ram_bytes: int | None = None
    needs_flash_bytes: int | None = None
    sensors: frozenset[str] = frozenset()
    title: str = ""
    description: str = ""
    multiply_accumulates: int = 0
    metrics: tuple[tuple[str, float], ...] = ()
    version: int | None = None


@dataclass(frozen=True)
class Round:
    """Round n of a model makes version n + 1 from version n. ended_s: None while it is open."""

    model: str
    number: int
    began_s: int
    ended_s: int | None
    selected: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    selected_by: str = ""


@dataclass(frozen=True)
class Deployment:
    number: int
    model: str
    where: str
    status: str
    stage: int
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    rooms: Sequence[Room] = ()
    devices: Sequence[Device] = ()
    models: Sequence[Model] = ()
    rounds: Sequence[Round] = ()
    deployments: Sequence[Deployment] = ()


def fits(device: Device, model: Model, learning: bool = False) -> bool:
    """Whether a device can run a model, or learn it: the rule of which the site is made."""
    needs = model.needs_training_ram_bytes if learning else model.needs_ram_bytes
    return (
        device.quarantined is None
        and needs is not None
        and (device.ram_bytes or -1) >= needs
        and (model.needs_flash_bytes is None or (device.flash_bytes or -1) >= model.needs_flash_bytes)
        and model.sensors <= device.sensors
    )


def _able(devices: Sequence[Device], model: Model, learning: bool = False) -> list[str]:
    return [device.name for device in devices if fits(device, model, learning)]


def site(devices: int, models: int, seed: int = 0) -> Site:
    """A site of so many devices and models."""
    every_room = [_room(number) for number in range(-(-devices // DEVICES_A_ROOM))]
    every_model = [_model(number, seed) for number in range(models)]
    every_device = [_device(number, every_room[number // DEVICES_A_ROOM], seed) for number in range(devices)]
    rounds: list[Round] = []
    deployments: list[Deployment] = []
    in_hand: dict[str, list[tuple[str, int]]] = {}
    runs: dict[str, str] = {}
    for number, model in enumerate(every_model):
        draw = random.Random(f"{seed} federation {number}")
        able = _able(every_device, model, learning=True) if number % 25 == 0 else []
        if able:
            taking_part = sorted(draw.sample(able, min(MOST_PARTICIPANTS, len(able))))
            version = draw.randint(6, 40)
            every_model[number] = replace(model, version=version)
            rounds += _rounds(model.name, version, taking_part, draw)
            for name in taking_part:
                behind = draw.randint(1, 5) if draw.random() < 0.1 else 0
                in_hand.setdefault(name, []).append((model.name, version - behind))
        if number % 40 == 0:
            able = _able(every_device, model)
            chosen = tuple(sorted(draw.sample(able, min(DEPLOYED, len(able)))))
            status = draw.choice(("planned", "running", "done", "rolled back", "failed"))
            deployments.append(Deployment(len(deployments) + 1, model.name, "floor = 2", status, 1, chosen))
            runs |= dict.fromkeys(chosen, model.name) if status == "done" else {}
    every_device = [
        replace(device, in_hand=tuple(in_hand.get(device.name, ())), runs=runs.get(device.name))
        for device in every_device
    ]
    return Site(every_room, every_device, every_model, rounds, deployments)


def _room(number: int) -> Room:
    floor, place = divmod(number, ROOMS_A_FLOOR)
    building, floor = divmod(floor, FLOORS)
    name = f"b{building + 1}-{floor}-{place:02d}"
    kind = ROOM_TYPES[number * 7 % len(ROOM_TYPES)]
    return Room(name, f"{kind.capitalize()} {floor}.{place:02d}", kind, str(floor), f"b{building + 1}")


def _device(number: int, room: Room, seed: int) -> Device:
    draw = random.Random(f"{seed} device {number}")
    board = draw.choice(BOARDS)
    sensors = {kind for kind in board.sensors if draw.random() < 0.85}
    sensors |= {kind for kind, chance in BUILDING_SENSORS.items() if draw.random() < chance}
    ram, flash = (int(size * 1000 * draw.uniform(0.4, 1.1)) for size in (board.ram_kb, board.flash_kb))
    energy = draw.choice(ENERGY)
    return Device(
        f"{room.name}-{number % DEVICES_A_ROOM}",
        None if number % 100 == 17 else ram,
        None if number % 100 == 43 else flash,
        frozenset(sensors),
        room.name,
        f"{board.title} {number}",
        f"Senses in {room.title}, in building {room.building}.",
        draw.choice(RADIOS),
        energy,
        draw.choice(FIRMWARES),
        draw.choices(list(STATES), list(STATES.values()))[0],
        draw.randint(1, 40),
        None if energy == "mains" else round(draw.uniform(5, 100), 1),
        quarantined="flash: says more than its board has" if number % 100 == 71 else None,
    )


def _model(number: int, seed: int) -> Model:
    draw = random.Random(f"{seed} model {number}")
    real: Known = ZOO[number % len(ZOO)]
    times = draw.uniform(0.5, 2)
    ram, flash = int(real.ram_kb * 1000 * times), int(real.flash_kb * 1000 * times)
    sensors = real.sensors
    if number % 3 == 2:
        sensors = tuple(draw.sample(list(BUILDING_SENSORS), draw.randint(1, 3)))
    learns = number % 5 in (0, 3)
    accuracy = real.top_1_percent and round(min(99.9, real.top_1_percent + draw.uniform(-3, 3)), 2)
    return Model(
        f"{real.name}-{number}",
        ram,
        int(ram * draw.uniform(2, 4)) if learns else None,
        None if number % 50 == 7 else flash,
        frozenset(sensors),
        f"{real.name.replace('-', ' ').capitalize()} {number}",
        real.purpose,
        int(real.multiply_accumulates * times),
        ((TOP_1, accuracy),) if accuracy else (),
    )


def _rounds(model: str, version: int, taking_part: list[str], draw: random.Random) -> list[Round]:
    """Those that made the versions up to this, and one that is open."""
    made = []
    for number in range(1, version + 1):
        began_s = BEGAN_S + number * ROUND_S
        selected = sorted(draw.sample(taking_part, min(SELECTED, len(taking_part))))
        ended = number < version
        counted = tuple(name for name in selected if draw.random() < 0.9) if ended else ()
        made.append(
            Round(
                model,
                number,
                began_s,
                began_s + draw.randint(60, 500) if ended else None,
                tuple(selected),
                counted,
                "battery > 20",
            )
        )
    return made
