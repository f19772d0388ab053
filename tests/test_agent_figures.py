"""What an agent tells of itself, part by part: its losses, its energy, its readings."""

import json
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coordinator.metrics import CHANNELS, CURVE_SAMPLES
from edge_agents import rooms
from edge_agents.agent import make_source, run
from edge_agents.facts import facts
from edge_agents.figures import available_bytes
from edge_agents.meter import Rapl, make_meter
from edge_agents.scores import POINTS, Scores
from edge_agents.senses import Senses
from edge_agents.sources import Sample, Source
from tegu.learner import Learner
from tegu.model import Model

# --- losses: one weight and one bias; each step of 0.1 on x = 2, y = 1 halves the error, which is 1 at first ---

SAMPLE: Sample = ((2.0,), (1.0,))


def a_learner() -> Learner:
    return Learner(Model("1 | dense 1 linear"), array("f", [1.0, 0.0]), 0.1)


def learn(scores: Scores, learner: Learner, samples: int) -> None:
    for _ in range(samples):
        learner.step(*SAMPLE)
        scores.learned(learner)


def test_a_curve_has_the_loss_after_each_power_of_two_of_samples() -> None:
    scores, learner = Scores(8), a_learner()
    scores.begin(1, learner, [SAMPLE])
    learn(scores, learner, 5)
    assert scores.numbers(learner) == pytest.approx(
        {
            "loss_before": 0.5,  # half of the squared error
            "curve_0": 0.5,
            "curve_1": 0.125,
            "curve_2": 0.03125,
            "curve_4": 0.001953,  # 0.5 / 4**4, to six digits
            "loss_after": 0.000488,
        },
        abs=1e-6,
    )


def test_the_points_are_those_of_the_table() -> None:
    assert (0, *POINTS) == CURVE_SAMPLES


def drawn(scores: Scores, version: int, query: list[Sample]) -> bool:
    """Whether a round of this version has a curve."""
    learner = a_learner()
    scores.begin(version, learner, query)
    learn(scores, learner, 1)
    return "curve_1" in scores.numbers(learner)


def test_a_curve_comes_first_and_then_with_every_so_manieth_version() -> None:
    scores = Scores(8)
    assert [version for version in range(5, 30) if drawn(scores, version, [SAMPLE])] == [5, 13, 21, 29]
    assert drawn(scores, 2, [SAMPLE])  # a coordinator that began anew
    assert not drawn(scores, 3, [SAMPLE])
    assert drawn(scores, 11, [SAMPLE])  # in none of the rounds between


def test_there_is_no_curve_where_none_is_wanted_and_no_loss_without_samples_to_score() -> None:
    assert not any(drawn(Scores(0), version, [SAMPLE]) for version in range(1, 20))
    scores, learner = Scores(1), a_learner()
    scores.begin(1, learner, [])
    learn(scores, learner, 1)
    assert scores.numbers(learner) == {}


def test_a_curve_is_told_once() -> None:
    scores, learner = Scores(8), a_learner()
    scores.begin(1, learner, [SAMPLE])
    learn(scores, learner, 1)
    assert "curve_1" in scores.numbers(learner)
    learn(scores, learner, 1)
    assert sorted(scores.numbers(learner)) == ["loss_after", "loss_before"]


def test_a_round_that_went_out_of_bounds_has_no_curve() -> None:
    scores, learner = Scores(8), a_learner()
    scores.begin(1, learner, [SAMPLE])
    learn(scores, learner, 1)
    scores.drop()
    learn(scores, learner, 1)
    assert sorted(scores.numbers(learner)) == ["loss_after", "loss_before"]


# --- energy: a folder of files as Linux has them ---

RANGE_UJ = 262_143_328_850


class Counter:
    """The files of RAPL, and a meter that looked first at second 100."""

    def __init__(self, folder: Path, uj: int) -> None:
        self.file = folder / "energy_uj"
        (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.file.write_text(f"{uj}\n")
        self.meter = Rapl(100.0, folder)

    def at(self, now_s: float, uj: int) -> tuple[float, float]:
        """(joules, seconds) so far."""
        self.file.write_text(f"{uj}\n")
        self.meter.update(now_s)
        return self.meter.joules, self.meter.metered_s


def test_joules_are_what_the_counter_grew_by(tmp_path: Path) -> None:
    counter = Counter(tmp_path, 1_000_000)
    assert counter.at(102.0, 3_500_000) == pytest.approx((2.5, 2.0))
    assert counter.at(103.0, 3_600_000) == pytest.approx((2.6, 3.0))
    assert counter.meter.numbers(103.5) == {"energy_modelled": 0, "joules": 2.6, "metered_s": 3.0, "meter_failed": 0}


def test_the_first_figures_are_of_now_and_there_are_none_before_time_has_passed(tmp_path: Path) -> None:
    counter = Counter(tmp_path, 1_000_000)
    assert counter.meter.numbers(100.0) == {}
    counter.file.write_text("1200000\n")
    assert counter.meter.numbers(100.5)["joules"] == pytest.approx(0.2)


def test_a_counter_that_begins_anew_is_followed(tmp_path: Path) -> None:
    counter = Counter(tmp_path, RANGE_UJ - 1_000_000)
    assert counter.at(101.0, 500_000) == pytest.approx((1.5, 1.0))


def test_what_was_not_seen_is_not_counted(tmp_path: Path) -> None:
    counter = Counter(tmp_path, 50_000_000_000)
    assert counter.at(161.0, 50_001_000_000) == (0.0, 0.0)  # a minute and more: who knows how often it began anew
    assert counter.at(162.0, 7) == (0.0, 0.0)  # 212 kJ in a second: the machine was asleep
    assert counter.at(163.0, 3_000_007) == pytest.approx((3.0, 1.0))


def test_a_counter_that_cannot_be_read_any_more_is_counted_and_goes_on(tmp_path: Path) -> None:
    counter = Counter(tmp_path, 0)
    assert counter.at(101.0, 1_000_000) == pytest.approx((1.0, 1.0))
    counter.file.unlink()
    counter.meter.update(102.0)
    assert counter.at(103.0, 4_000_000) == pytest.approx((4.0, 3.0))
    assert counter.meter.numbers(103.0)["meter_failed"] == 1


def test_a_meter_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_meter("", 0.0) is None
    with pytest.raises(ValueError, match="no meter 'ina219'; it is rapl, or rapl:FOLDER"):
        make_meter("ina219", 0.0)
    with pytest.raises(
        OSError, match=r"no meter: /nowhere/max_energy_range_uj cannot be read .* has this machine RAPL"
    ):
        make_meter("rapl:/nowhere", 0.0)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(
        OSError, match=r"is root's only; allow it with: sudo chmod a\+r /sys/class/powercap/intel-rapl:0/"
    ):
        make_meter("rapl", 0.0)


def test_an_agent_whose_meter_is_not_there_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["room-1", "--state", str(tmp_path), "--meter", "rapl:/nowhere"]) == 1
    assert "tegu agent: no meter: /nowhere/max_energy_range_uj" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--telemetry", "-1"], ["--telemetry", "nan"], ["--curve-every", "2.5"]])
def test_what_is_no_interval_is_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit):
        run(["room-1", *options])


def test_the_memory_that_is_free_is_linuxs_own_figure(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:        8000000 kB\nMemAvailable:    5000000 kB\n")
    assert available_bytes(told) == 5_120_000_000
    told.write_text("MemTotal:        8000000 kB\n")
    assert available_bytes(told) is None
    assert available_bytes(tmp_path / "nothing") is None


# --- what it announces of itself ---


def test_the_facts_of_a_machine_are_free_bytes_and_what_the_options_say(tmp_path: Path) -> None:
    told = facts(tmp_path, "lora-sf7", "battery", "b1-2-07")
    assert (told["radio"], told["energy"], told["room"], told["firmware"]) == ("lora", "battery", "b1-2-07", "0.1.0")
    for name in ("ram", "flash"):
        free_bytes = int(told[name])
        assert free_bytes > 1 << 20
        assert free_bytes % (1 << free_bytes.bit_length() - 3) == 0  # three binary digits
    assert facts(tmp_path, "", "", "")["room"] == ""
    with pytest.raises(ValueError, match="room must be 1 to 32 of a-z"):
        facts(tmp_path, "", "", "B1.2.07")


def test_a_room_that_can_be_none_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["room-1", "--state", str(tmp_path), "--room", "B1.2.07"]) == 1
    assert "tegu agent: room must be 1 to 32 of a-z, 0-9 and '-', not 'B1.2.07'" in capsys.readouterr().err


# --- readings ---


class Sensed(Source):
    """Reads what it is given."""

    channel = "presence"

    def __init__(self) -> None:
        super().__init__("office", True, "for a test")
        self.read: list[tuple[str, str, float]] = []
        self.row: Sequence[float] | None = None

    def readings(self) -> list[tuple[str, str, float]]:
        return self.read

    def present(self) -> Sequence[float] | None:
        return self.row


def senses(source: Source) -> Senses:
    return Senses("home", "room-1", "presence", source, {"ram": 4096, "room": "b1-2-07"})


def of_two_classes(spec: str, weights: list[float]) -> Learner:
    return Learner(Model(spec), array("f", weights), 0.1)


def topic(what: str) -> str:
    return f"tegu/1/home/device/room-1/{what}"


def said(effects: list[tuple[Any, ...]]) -> dict[str, Any]:
    """topic -> what the JSON there says."""
    return {effect[1]: json.loads(effect[2]) for effect in effects}


def test_readings_are_records_of_senml_after_an_announcement_that_has_them() -> None:
    source = Sensed()
    source.read = [("co2", "ppm", 612.0), ("temperature", "Cel", 21.5)]
    made = senses(source)
    thing, *records = made.effects(None)
    assert thing == ("publish", topic("thing"), made.thing, 1, True)
    assert json.loads(made.thing) == {
        "tm": "urn:tegu:tm:device:1",
        "title": "office",
        "model": "presence",
        "sensors": {"co2": "ppm", "temperature": "Cel"},
        "ram": 4096,
        "room": "b1-2-07",
    }
    assert records == [
        ("publish", topic("sense/co2"), b'[{"n": "co2", "u": "ppm", "v": 612.0}]', 0, False),
        ("publish", topic("sense/temperature"), b'[{"n": "temperature", "u": "Cel", "v": 21.5}]', 0, False),
    ]
    assert made.effects(None) == records  # the channels are known by now
    source.read = [("co2", "ppm", 613.0), ("motion", "/", 1.0)]
    made.effects(None)
    assert json.loads(made.thing)["sensors"] == {"co2": "ppm", "temperature": "Cel", "motion": "/"}


def test_what_a_source_has_is_announced_before_its_first_reading() -> None:
    source = make_source("simulated", {})
    assert source.readings() == []
    assert json.loads(senses(source).thing)["sensors"] == {"co2": "ppm", "temperature": "Cel", "humidity": "%RH"}


def test_a_device_with_too_many_channels_for_an_announcement_says_its_whole_description() -> None:
    source = Sensed()
    source.read = [(f"channel-{n}", "/", 1.0) for n in range(32)]
    made = senses(source)
    made.effects(None)
    told = json.loads(made.thing)
    assert len([name for name in told["properties"] if name.startswith("channel-")]) == 32
    assert told["tegu:room"] == {"@id": "urn:tegu:home:room:b1-2-07"}
    assert len(made.thing) < 16384


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        ("1 | dense 2 softmax", [0.0, math.log(3), 0.0, 0.0]),  # e to the ln 3 is three times e to the 0
        ("1 | dense 1 sigmoid", [math.log(3), 0.0]),
    ],
)
def test_presence_is_the_probability_of_class_1_by_the_models_own_weights(spec: str, weights: list[float]) -> None:
    source = Sensed()
    made, learner = senses(source), of_two_classes(spec, weights)
    assert made.effects(learner) == []  # nothing is known of now
    source.row = (1.0,)
    assert said(made.effects(learner))[topic("sense/presence")] == [{"n": "presence", "u": "/", "v": 0.75}]
    assert json.loads(made.thing)["sensors"]["presence"] == "/"
    assert made.effects(None) == []


def test_a_source_without_the_channel_and_a_model_of_numbers_have_no_presence() -> None:
    source = Sensed()
    source.row = (1.0,)
    assert senses(source).effects(of_two_classes("1 | dense 1 linear", [1.0, 0.0])) == []
    assert senses(source).effects(of_two_classes("1 | dense 3 softmax", [0.0] * 6)) == []
    source.channel = ""
    assert senses(source).effects(of_two_classes("1 | dense 1 sigmoid", [1.0, 0.0])) == []


@pytest.mark.parametrize(
    ("reading", "row", "sentence"),
    [
        (("CO2", "ppm", 1.0), None, "model or channel must be 1 to 32 of a-z"),
        (("co2", "ppm", math.nan), None, "not JSON compliant"),
        (("co2", "ppm", 1.0), (1.0, 2.0), "the present has 2 inputs, not 1"),
    ],
)
def test_what_cannot_be_said_is_an_error_of_the_source(
    reading: tuple[str, str, float], row: tuple[float, float] | None, sentence: str
) -> None:
    source = Sensed()
    source.read, source.row = [reading], row
    with pytest.raises(ValueError, match=sentence):
        senses(source).effects(of_two_classes("1 | dense 1 sigmoid", [1.0, 0.0]))


def test_the_channels_of_rooms_have_the_units_of_the_table() -> None:
    assert {channel: CHANNELS[channel].senml_unit for channel, _ in rooms.CHANNELS} == dict(rooms.CHANNELS)
    assert CHANNELS[rooms.RoomSource.channel].senml_unit == "/"
