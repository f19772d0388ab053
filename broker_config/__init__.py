"""The broker's configuration as data: `mosquitto.conf`, `acl`, `listeners/` and examples lie beside this file.

They are what a building runs, what `tegu broker` runs and what the tests run; README.md says how to install them.
"""

from pathlib import Path


def folder() -> Path:
    """The folder that holds `mosquitto.conf` and `acl`, in a checkout and in an installed wheel alike."""
    return Path(__file__).resolve().parent
