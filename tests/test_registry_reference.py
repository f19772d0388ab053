"""The reference join itself, on a handful of devices worked by hand."""

from tests.registry_reference import (
    Device,
    Model,
    Retired,
    best_first,
    can_run,
    can_train,
    fit_together,
    missing_by_device,
    missing_in_room,
    pairs_to_run,
    pairs_to_train,
    retire,
    sets_together,
)

CO2, SOUND = "tegu:Co2Sensor", "sosax:Microphone"
SMALL = Device("small", 10_000, 20_000, frozenset([CO2]), room="attic")
LARGE = Device("large", 50_000, 90_000, frozenset([CO2, SOUND]), room="attic")
DOUBTFUL = Device("doubtful", 50_000, 90_000, frozenset([CO2, SOUND]), room="cellar", quarantined="no title")
SILENT = Device("silent", None, None, frozenset([SOUND]), room="cellar")
DEVICES = [SMALL, LARGE, DOUBTFUL, SILENT]

AIR = Model("air", 10_000, 40_000, 20_000, frozenset([CO2]), (("nnet:Top_1_accuracy", 80.0),))
CLAP = Model("clap", 30_000, 60_000, 5_000, frozenset([SOUND]), (("nnet:Top_1_accuracy", 95.5),))
SINE = Model("sine", 1_000)
MODELS = [AIR, CLAP, SINE]


def test_a_device_runs_what_it_has_just_enough_memory_for():
    assert can_run(SMALL, AIR)
    assert not can_run(SMALL, Model("air", 10_001, None, 20_000, frozenset([CO2])))
    assert not can_run(SMALL, Model("air", 10_000, None, 20_001, frozenset([CO2])))


def test_pairs_to_run_and_to_train_are_as_worked_by_hand():
    assert pairs_to_run(DEVICES, MODELS) == {
        ("small", "air"),
        ("small", "sine"),
        ("large", "air"),
        ("large", "clap"),
        ("large", "sine"),
    }
    assert pairs_to_train(DEVICES, MODELS) == {("large", "air")}


def test_nobody_runs_a_model_that_does_not_say_its_ram_nor_trains_one_that_says_no_training():
    assert not can_run(LARGE, Model("unknown"))
    assert not can_train(LARGE, SINE)


def test_a_device_that_says_nothing_runs_what_needs_nothing():
    assert can_run(SILENT, Model("nothing", 0))
    assert not can_run(SILENT, Model("little", 1))


def test_models_are_best_first_and_those_without_the_metric_last():
    assert best_first(LARGE, MODELS) == ["clap", "air", "sine"]
    assert best_first(LARGE, MODELS, train=True) == ["air"]
    assert best_first(LARGE, MODELS, kind="nnet:Top_5_accuracy") == ["air", "clap", "sine"]


def test_models_fit_together_if_the_sums_do():
    assert fit_together(LARGE, [AIR, CLAP, SINE])  # 41,000 of 50,000 and 25,000 of 90,000 bytes
    assert not fit_together(SMALL, [AIR, SINE])  # 11,000 of 10,000 bytes
    assert sets_together(LARGE, MODELS) == {
        frozenset(pair) for pair in (("air", "clap"), ("air", "sine"), ("clap", "sine"))
    }
    assert sets_together(SMALL, MODELS) == set()


def test_a_room_misses_the_sensors_that_none_of_its_devices_has():
    assert missing_in_room(AIR, DEVICES, "attic") == frozenset()
    assert missing_in_room(AIR, DEVICES, "cellar") == {CO2}  # what is in quarantine does not count
    assert missing_by_device(CLAP, DEVICES, "attic") == {"small": {SOUND}, "large": frozenset()}


def test_retiring_a_device_names_what_only_it_had():
    assert retire("large", DEVICES, MODELS) == Retired(
        {"attic": frozenset([SOUND])}, frozenset(["clap"]), frozenset(["air"])
    )
    assert retire("small", DEVICES, MODELS) == Retired()
