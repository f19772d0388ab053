"""The shared library under both interpreters: the same tests, the same vectors, the same bytes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import find_micropython, needs

SHARED = Path(__file__).parent / "shared"
FILES = sorted(path.name for path in SHARED.glob("test_*.py"))


def run(interpreter: str, *arguments: str) -> str:
    """What the script prints. The interpreters are `python` and `micropython`."""
    if interpreter == "micropython":
        needs("micropython")
    program = find_micropython() if interpreter == "micropython" else sys.executable
    done = subprocess.run(
        [str(program), *arguments], cwd=SHARED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert done.returncode == 0, "\n" + done.stdout
    return done.stdout


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("interpreter", ["python", "micropython"])
def test_the_shared_library(interpreter: str, file: str) -> None:
    assert ", 0 failed" in run(interpreter, "run.py", file)


def test_both_interpreters_make_the_same_200_updates() -> None:
    ours = run("python", "print_updates.py").split()
    theirs = run("micropython", "print_updates.py").split()
    assert len(ours) == 2 * 200
    assert ours == theirs
