"""Real parts that tests start: which of them are here, and what happens when one is not."""

import os
import shutil

import pytest

from experiments import broker_folder

# What the operating system must bring, and the Debian package that has it.
DEBIAN_PACKAGES = {"mosquitto": "mosquitto", "openssl": "openssl"}


def needs(part: str) -> None:
    """Go on if `part` is installed. Else fail where it could have been installed (in CI, or as root), else skip."""
    found = broker_folder.find_mosquitto() if part == "mosquitto" else shutil.which(part)
    if found:
        return
    sentence = f"{part} is not installed; install it with: sudo apt-get install {DEBIAN_PACKAGES[part]}"
    if os.environ.get("CI") or os.geteuid() == 0:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
