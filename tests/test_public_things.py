"""Public Thing Descriptions: each valid one is accepted and says something in RDF, each invalid one is refused."""

import json
import os
import warnings
from pathlib import Path

import pytest

from coordinator.semantics import things
from tests import td_examples
from tests.example_things import TD_1_0, TD_1_1

# Its format is right: what is wrong is that nobody can fetch its Thing Model.
NOT_OF_THE_FORMAT = {"usingTM.json"}
EXTRA = "TEGU_TD_EXAMPLES"  # a folder of others


@pytest.fixture(scope="module")
def examples() -> Path:
    return td_examples.folder()


def faults(file: Path) -> list[str]:
    try:
        return list(map(str, things.check(things.read(file.read_bytes()))))
    except ValueError as error:
        return [str(error)]


def test_every_valid_example_is_accepted(examples: Path) -> None:
    files = [*(examples / "valid").glob("*.json"), *(examples / "warning").glob("*.json")]
    assert len(files) == 47
    for file in files:
        assert faults(file) == [], file.name
        document = {"id": "urn:example:1"} | things.read(file.read_bytes())
        assert len(things.triples(document)) >= 6, file.name  # class, title, name, security and its definition


def test_every_invalid_example_is_refused(examples: Path) -> None:
    files = [file for file in (examples / "invalid").glob("*.json") if file.name not in NOT_OF_THE_FORMAT]
    assert len(files) == 21
    assert [file.name for file in files if not faults(file)] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "camelCase",
            "actions.toggle.forms.0.op.0: must be invokeaction, queryaction or cancelaction, not 'invokeAction'",
        ),
        ("noTitle", "title: is missing"),
        ("noContext", "@context: is missing"),
        ("noForm3", "events.status.forms: is missing"),
        ("noHref", "events.overheating.forms.0.href: is missing"),
        ("duplicateSecurityDefinitions", "basic_sc: is there twice"),
        ("multipleRelType", "links.1.rel: is the second of relation type: a thing is of one Thing Model at most"),
        ("versionInstanceMissing", "version.instance: is missing"),
    ],
)
def test_an_invalid_example_is_refused_for_what_it_is_an_example_of(examples: Path, name: str, expected: str) -> None:
    assert faults(examples / "invalid" / f"{name}.json") == [expected]


@pytest.mark.skipif(EXTRA not in os.environ, reason=f"set {EXTRA} to a folder of Thing Descriptions to check them too")
def test_a_folder_of_others_is_read_without_a_crash() -> None:
    refused, accepted = [], 0
    for file in sorted(Path(os.environ[EXTRA]).rglob("*.json*")):
        try:
            document = json.loads(file.read_text(encoding="utf-8-sig"))
        except ValueError:
            continue
        context = document.get("@context") if isinstance(document, dict) else None
        if context is None or not {TD_1_0, TD_1_1} & {part for part in [context, *context] if isinstance(part, str)}:
            continue
        found = things.check(document)
        accepted += not found
        refused += [f"{file.name}: {found[0]}"] if found else []
        if not found:
            assert things.triples({"id": "urn:example:1"} | document)
    warnings.warn("\n  ".join([f"{accepted} accepted, {len(refused)} refused", *refused]), stacklevel=1)
    assert accepted
