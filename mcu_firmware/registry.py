"""What a board says to the registry and hears of it: its announcement (tegu.thing), and the model that it is to have (tegu.twin).

A board needs this at its start and then perhaps once a month. So it is imported where it is called, and each of the three
functions ends with its removal, and that of what it needed: that heap is for the model.
"""

import os
import sys

import tegu
from slots import Slots
from tegu.thing import announce, coarse
from tegu.twin import Twin

FREE_DIGITS = 6  # binary, of free bytes as they are announced
STATES = ("start.0", "start.1", "learned.0", "learned.1", "pieces")  # files of one model, see flash.py

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device import Device


def begin(device: "Device", settings: "dict[str, Any]") -> "tuple[str, bytes, str]":
    """(model, announcement, how the names of its files begin): of the model that was wished for, else of the settings'."""
    folder = device.folder
    twin = _load(device)
    _tell(device, twin)
    for name in os.listdir(folder or os.getcwd()):  # what was kept of models that are wished for no more
        model_name, dash, rest = name.rpartition("-")
        if dash and rest in STATES and model_name not in (twin.model, twin.before):
            os.remove(folder + name)
    thing = _announcement(device, settings, twin.model)
    _remove()
    return twin.model, thing, folder if twin.model == twin.settings else folder + twin.model + "-"


def hear(device: "Device", payload: bytes) -> None:
    """The registry wants this board to have a model. WireError: it cannot be read."""
    try:
        twin = _load(device)
        if payload and twin.hear(payload):
            _change(device, twin)
    finally:
        _remove()


def judge(device: "Device") -> None:
    """Whether the model that is tried, whose manifest was heard, can be served here: its heap, and what the samples are."""
    session, samples, twin = device.session, device.samples, _load(device)
    model = session.model
    if session.refused:
        twin.go_back(session.refused)
    elif model is not None and model.inputs != samples.inputs:
        twin.go_back("takes %d inputs, not %d" % (model.inputs, samples.inputs))
    elif model is not None and bool(model.classes) == bool(samples.outputs):
        twin.go_back("learns classes, not numbers" if model.classes else "learns numbers, not classes")
    else:
        twin.serve()
    _change(device, twin)
    _remove()


def _load(device: "Device") -> Twin:
    found = Slots(device.folder + "twin").open()
    if found is None:
        return Twin(device.settings_model)
    with found[0] as file:
        return Twin(device.settings_model, file.read(found[1]))


def _change(device: "Device", twin: Twin) -> None:
    """Keep the twin, and begin anew if it has another model than the session."""
    Slots(device.folder + "twin").write(twin.encode())
    _tell(device, twin)
    if twin.model == device.session.model_name:
        device.report()
        return
    print("model", twin.model)
    device.leave()
    device.board.restart(0)


def _tell(device: "Device", twin: Twin) -> None:
    """What the board remembers of the twin without this module."""
    device.reported, device.tries = twin.reported(), bool(twin.before)


def _announcement(device: "Device", settings: "dict[str, Any]", model_name: str) -> bytes:
    """What is free now, in memory and in flash, and what the settings say."""
    kind = settings["sensor"].get("kind")
    sensors = {"temperature": "Cel", "humidity": "%RH"} if kind in ("scd4x", "sht4x") else {}
    if kind == "scd4x":
        sensors["co2"] = "ppm"
    flash = os.statvfs(device.folder or os.getcwd())
    return announce(
        settings["device"],
        model_name,
        sensors,
        ram=coarse(device.board.free_heap_bytes(), FREE_DIGITS),
        flash=coarse(flash[1] * flash[4], FREE_DIGITS),
        radio=settings.get("radio", "").partition("-")[0],
        energy=settings.get("energy"),
        firmware=tegu.__version__,
        room=settings.get("room"),
    )


def _remove() -> None:
    """Take out of the heap what the next call loads anew."""
    for name in ("registry", "tegu.thing", "tegu.twin"):
        sys.modules.pop(name, None)
    for name in ("thing", "twin"):
        if hasattr(tegu, name):
            delattr(tegu, name)
