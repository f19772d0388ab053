"""The registry over HTTP: W3C WoT Discovery's Directory Service API, and questions, models and exports of ours beside it."""

from .app import make_app
from .parts import Here, MayWrite, Parts
from .problems import Problem
from .serving import Directory
from .settings import DirectorySettings

__all__ = ["Directory", "DirectorySettings", "Here", "MayWrite", "Parts", "Problem", "make_app"]
