"""A settings file is read once, and what is wrong in it is told with file, section and word."""

from pathlib import Path

import pytest

from coordinator.settings import LinkSettings, ModelSettings, MonitorSettings, RoundSettings, Settings, load

MODEL = '[model]\nname = "presence"\nspec = "11 | dense 2 softmax"\n'
ROUNDS = "[rounds]\nrounds = 3\n"
WRONG = [  # the file, its section, the word
    (MODEL + ROUNDS + "quorun = 3\n", "[rounds]", "quorun"),
    (MODEL + ROUNDS + 'quorum = "3"\n', "[rounds]", "quorum"),
    (MODEL + ROUNDS + "quorum = true\n", "[rounds]", "quorum"),
    (MODEL + ROUNDS + "quorum = 3.0\n", "[rounds]", "quorum"),
    (MODEL + ROUNDS + "quorum = 0\n", "[rounds]", "quorum"),
    (MODEL + ROUNDS + 'deadline_s = "soon"\n', "[rounds]", "deadline_s"),
    (MODEL + ROUNDS + "deadline_s = 0\n", "[rounds]", "deadline_s"),
    (MODEL + ROUNDS + "deadline_s = nan\n", "[rounds]", "deadline_s"),
    (MODEL + ROUNDS + "deadline_s = inf\n", "[rounds]", "deadline_s"),
    (MODEL + ROUNDS + "deadline_s = 1e-9\n", "[rounds]", "deadline_s"),
    (MODEL + ROUNDS + "join_percent = 0.0\n", "[rounds]", "join_percent"),
    (MODEL + ROUNDS + "outer_step_size = 100.5\n", "[rounds]", "outer_step_size"),
    (MODEL + ROUNDS + "clip = -1.0\n", "[rounds]", "clip"),
    (MODEL + ROUNDS + "wait_for = -1\n", "[rounds]", "wait_for"),
    (MODEL + ROUNDS + 'algorithm = "fedsomething"\n', "[rounds]", "algorithm"),
    (MODEL + ROUNDS + "algorithm = 5\n", "[rounds]", "algorithm"),
    (MODEL + ROUNDS + 'denominator = "median"\n', "[rounds]", "denominator"),
    (MODEL + '[rounds]\nschedule = "cosine"\nrounds = 0\n', "[rounds]", "schedule"),
    (MODEL + "top_p = 0\n" + ROUNDS, "[model]", "top_p"),
    (MODEL + "samples = 0\n" + ROUNDS, "[model]", "samples"),
    (MODEL + "inner_step_size = 0.0\n" + ROUNDS, "[model]", "inner_step_size"),
    (MODEL + 'codec = "zip"\n' + ROUNDS, "[model]", "codec"),
    (MODEL + "first_bias = nan\n" + ROUNDS, "[model]", "first_bias"),
    (MODEL + "heap_bytes = -5\n" + ROUNDS, "[model]", "heap_bytes"),
    ('[model]\nname = "Presence"\nspec = "1 | dense 1 linear"\n' + ROUNDS, "[model]", "'Presence'"),
    ('[model]\nname = "presence"\nspec = "1 | dense 1 gelu"\n' + ROUNDS, "[model]", "'gelu'"),
    ('[model]\nname = "presence"\n' + ROUNDS, "[model]", "spec"),
    (ROUNDS, "[model]", "name"),
    ('[coordinator]\nsite = "my/home"\n' + MODEL + ROUNDS, "[coordinator]", "'my/home'"),
    ("[coordinator]\ncheckpoint = 5\n" + MODEL + ROUNDS, "[coordinator]", "checkpoint"),
    ("[modle]\n" + MODEL + ROUNDS, "[modle]", "modle"),
    ("rounds = 5\n" + MODEL, "rounds", "rounds"),
    ("[model\n", "not TOML", "line 1"),
]


def read(folder: Path, text: str) -> Settings:
    path = folder / "tegu.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(folder, text)
    assert caught.type is ValueError  # not one of its kinds: a sentence of ours
    return str(caught.value)


def test_all_that_is_said_is_taken_and_the_rest_has_defaults(tmp_path: Path) -> None:
    text = (
        '[coordinator]\nsite = "lab"\nport = 1884\ncheckpoint = "/var/lib/tegu/state.sqlite"\n'
        + MODEL
        + "inner_step_size = 1\n"
        + ROUNDS
        + 'quorum = 8\ndeadline_s = 90\nschedule = "linear"\n'
    )
    assert read(tmp_path, text) == Settings(
        LinkSettings(site="lab", port=1884, checkpoint=Path("/var/lib/tegu/state.sqlite")),
        ModelSettings(name="presence", spec="11 | dense 2 softmax", inner_step_size=1.0),
        RoundSettings(rounds=3, quorum=8, deadline_s=90.0, schedule="linear"),
        MonitorSettings(store="telemetry.sqlite"),
    )


def test_a_whole_number_serves_where_a_float_is_meant(tmp_path: Path) -> None:
    deadline_s = read(tmp_path, MODEL + ROUNDS + "deadline_s = 90\n").rounds.deadline_s
    assert (deadline_s, type(deadline_s)) == (90.0, float)


@pytest.mark.parametrize(
    ("text", "section", "word"), WRONG, ids=[f"{n}-{word}" for n, (_, _, word) in enumerate(WRONG)]
)
def test_a_complaint_names_file_section_and_word(tmp_path: Path, text: str, section: str, word: str) -> None:
    sentence = complaint(tmp_path, text)
    assert str(tmp_path / "tegu.toml") in sentence
    assert section in sentence
    assert word in sentence.replace(str(tmp_path), "")


def test_a_complaint_about_a_name_lists_those_that_there_are(tmp_path: Path) -> None:
    assert "quorum, deadline_s, interval_s, wait_for" in complaint(tmp_path, MODEL + ROUNDS + "quorun = 3\n")
    assert "coordinator, model, rounds" in complaint(tmp_path, "[modle]\n")
    assert "tinyreptile, tinymetafed" in complaint(tmp_path, MODEL + ROUNDS + 'algorithm = "fedsomething"\n')


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tegu.toml"
    path.write_bytes(b"# caf\xe9\n" + (MODEL + ROUNDS).encode())
    with pytest.raises(ValueError, match=r"tegu\.toml"):
        load(path)


def test_a_serial_federation_waits_for_one_device_and_a_parallel_one_for_its_quorum() -> None:
    assert RoundSettings(rounds=1, quorum=5).first_wait == 5
    assert RoundSettings(rounds=1, quorum=5, wait_for=7).first_wait == 7
    assert RoundSettings(rounds=1, quorum=5, algorithm="tinyreptile").first_wait == 1
