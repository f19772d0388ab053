"""Public Thing Descriptions, valid and invalid ones, as an npm package carries them: fetched once, into build/.

The package is the core of Thing Description Playground, whose own tests use them. Only its archive is fetched, none of its code
runs, and the archive must be the one named here.
"""

import base64
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.parts import needs

PACKAGE = "@thing-description-playground/core@1.4.0"
INTEGRITY = "90GbMZt6UwSgmhCHDLdyLQG18CVCXuBhpwuRwed1W4QwNi7Rr34zySZJnq+m0XTZxn3cI6Ngxk0FmE4De5qoaA=="  # SHA-512
ARCHIVE = "thing-description-playground-core-1.4.0.tgz"
BUILT = Path(__file__).parents[1] / "build" / "td-examples"
FETCH = ["npm", "pack", "--silent", PACKAGE]
FETCHED_S = 120


def folder() -> Path:
    """Where they are, in `valid`, `warning` and `invalid`. Where they cannot be had: fail in CI, else skip."""
    needs("npm")
    BUILT.mkdir(parents=True, exist_ok=True)
    if not (BUILT / ARCHIVE).is_file():
        done = subprocess.run(FETCH, cwd=BUILT, capture_output=True, text=True, timeout=FETCHED_S)
        if done.returncode:
            sentence = f"the public Thing Descriptions are missing; fetch them in {BUILT} with: {' '.join(FETCH)}"
            if os.environ.get("CI"):
                pytest.fail(sentence, pytrace=False)
            pytest.skip(sentence)
    digest = hashlib.sha512((BUILT / ARCHIVE).read_bytes()).digest()
    assert base64.b64encode(digest).decode() == INTEGRITY, f"{BUILT / ARCHIVE} is not the archive that was published"
    with tarfile.open(BUILT / ARCHIVE) as archive:
        archive.extractall(BUILT, filter="data")
    return BUILT / "package" / "examples" / "tds"
