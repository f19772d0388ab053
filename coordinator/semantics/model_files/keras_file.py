"""Reading a Keras model, `.keras` or `.h5`: its layers, parameters and what they multiply. Keras and TensorFlow are not needed.

Only the configuration is read, never the weights; shapes and counts are worked out from it (keras_layers.py). Models are Sequential, or
Functional ones of layers that are known; a model inside a model is not. What runs on a device is not this file but what it is
converted to, so memory is that of the same network as a float32 `.tflite` file: RAM by arena.py, flash four bytes a parameter.
A converter that folds layers together, or quantises, makes less of it.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from ..about import told
from ..description import Description, Layer, Tensor
from .arena import plan_bytes, records_bytes
from .keras_layers import (
    WORD,
    Asked,
    Config,
    Made,
    Shape,
    checked,
    make,
)

MOST_LAYERS = 2048
DEEPEST = 32  # lists within lists
LONGEST_WAIT_S = 30.0
FLOAT_BYTES = 4
UNLIKE_KERAS = (KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError)
Call = tuple[str, int]  # a layer by its name, and which of its calls: what names a tensor


def read(path: str | Path, **facts: object) -> Description:
    """The description of a Keras file. facts: fields of About, which win over those of the side file.

    OSError: it is not there. ValueError, as a sentence: it cannot be read, or a fact is none.
    """
    path = Path(path)
    about = told(path, facts)
    text = _config(path)
    try:
        return _described(json.loads(text), about)
    except (json.JSONDecodeError, UnicodeDecodeError, *UNLIKE_KERAS) as error:
        raise ValueError(f"{path.name}: its configuration is none that Keras writes") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _config(path: Path) -> bytes:
    """The configuration, read by a process that may come to grief."""
    path.stat()
    program = [sys.executable, "-P", str(Path(__file__).with_name("keras_config.py")), str(path)]
    try:
        done = subprocess.run(
            program,
            check=False,
            capture_output=True,
            timeout=LONGEST_WAIT_S,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{path.name} takes too long to read") from error
    if done.returncode:
        sentence = done.stderr.decode(errors="replace") if done.returncode == 1 else "it is broken"
        raise ValueError(f"{path.name}: {sentence[-300:]}")
    return done.stdout


def _described(model: Any, about: dict[str, Any]) -> Description:
    graph = _Graph()
    kind, config = model["class_name"], model["config"]
    layers = config["layers"] if isinstance(config, dict) else config
    if kind not in ("Sequential", "Functional", "Model"):
        raise ValueError(f"it is a {str(kind)[:40]}; only Sequential and Functional models can be read")
    if not 0 < len(layers) <= MOST_LAYERS:
        raise ValueError(f"it has {len(layers)} layers; 1 to {MOST_LAYERS} can be read")
    if kind == "Sequential":
        graph.sequential(model, layers)
    else:
        graph.functional(config, layers)
    return Description(
        **about,
        layers=tuple(graph.layers),
        inputs=tuple(Tensor(graph.shapes[call], graph.dtypes[call]) for call in graph.inputs),
        outputs=tuple(Tensor(graph.shapes[graph.same[call]], "float32") for call in graph.outputs),
        flash_bytes=FLOAT_BYTES * sum(layer.parameters for layer in graph.layers),
        ram_bytes=graph.ram_bytes(),
    )


class _Graph:
    """The tensors of a model and the layers that make them, in the order in which they can be made."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.shapes: dict[Call, Shape] = {}  # of each tensor
        self.same: dict[Call, Call] = {}  # the tensor that a call gives: another's, if its layer does nothing
        self.lives: dict[Call, tuple[int, int]] = {}  # first and last layer that a tensor is there for
        self.dtypes: dict[Call, str] = {}  # of the inputs
        self.inputs: list[Call] = []
        self.outputs: list[Call] = []
        self._counted: set[str] = set()  # layers whose parameters are in

    def sequential(self, model: Any, layers: list[Any]) -> None:
        first = layers[0]["config"]
        shape = first.get("batch_shape") or first.get("batch_input_shape")
        shape = shape or (model.get("build_config") or {}).get("input_shape")
        if shape is None:
            raise ValueError("it does not say the shape of its input; build the model before it is saved")
        last: Call = ("", 0)
        self.input(last, shape, first)
        for at, layer in enumerate(layers):
            if layer["class_name"] != "InputLayer":
                self.call((layer["config"]["name"], at), layer, [last])
                last = (layer["config"]["name"], at)
        self.outputs = [last]

    def functional(self, config: Config, layers: list[Any]) -> None:
        calls: dict[Call, tuple[Any, list[Call]]] = {}
        for layer in layers:
            name = layer["config"]["name"]
            if layer["class_name"] == "InputLayer":
                inner = layer["config"]
                self.input((name, 0), inner.get("batch_shape") or inner["batch_input_shape"], inner)
            else:
                calls |= {(name, at): (layer, list(_calls(node))) for at, node in enumerate(layer["inbound_nodes"])}
        if len(calls) > MOST_LAYERS:
            raise ValueError(f"it has more than {MOST_LAYERS} calls of layers")
        try:
            order = list(TopologicalSorter({call: inputs for call, (_, inputs) in calls.items()}).static_order())
        except CycleError as error:
            raise ValueError("its layers go in a circle") from error
        for call in order:
            if call in calls:
                self.call(call, *calls[call])
            elif call not in self.same:
                raise ValueError(f"a layer takes from {call[0][:40]!r}, which is not there")
        self.outputs = list(_calls(config["output_layers"]))

    def input(self, call: Call, batch_shape: list[int | None], config: Config) -> None:
        if None in batch_shape[1:]:
            raise ValueError("the size of its input is open; only the batch may be")
        self.shapes[call] = checked(tuple(side or 1 for side in batch_shape[:1]) + tuple(batch_shape[1:]))  # type: ignore[arg-type]
        self.dtypes[call] = _dtype(config)
        self.same[call] = call
        self.lives[call] = (0, 0)
        self.inputs.append(call)

    def call(self, call: Call, layer: Any, inputs: list[Call]) -> None:
        config, taken = layer["config"], [self.same[one] for one in inputs]
        try:
            made = make(Asked(layer["class_name"], config, [self.shapes[one] for one in taken]))
        except ValueError as error:
            raise ValueError(f"layer {call[0][:40]!r}: {error}") from error
        if made is None:
            (self.same[call],) = taken
            return
        turn = len(self.layers)
        self.shapes[call], self.same[call], self.lives[call] = made.shape, call, (turn, turn)
        for one in taken:
            self.lives[one] = (self.lives[one][0], turn)
        self._add(call[0], made, self.shapes[taken[0]], _dtype(config))

    def _add(self, name: str, made: Made, before: Shape, dtype: str) -> None:
        parameters = made.parameters if name not in self._counted else 0
        self._counted.add(name)
        self.layers.append(
            Layer(
                len(self.layers) + 1,
                made.kind,
                before,
                made.shape,
                made.activation,
                dtype,
                parameters,
                made.multiply_accumulates,
            )
        )

    def ram_bytes(self) -> int:
        kept = {self.same[call] for call in self.outputs}
        end = len(self.layers)
        lives = [
            (FLOAT_BYTES * math.prod(self.shapes[call]), first, end if call in kept else last)
            for call, (first, last) in self.lives.items()
        ]
        constants = 2 * sum(layer.parameters > 0 for layer in self.layers)
        return plan_bytes(lives) + records_bytes(len(lives) + constants, end)


def _calls(found: Any, deep: int = 0) -> Iterator[Call]:
    """The tensors that a saved call takes: `keras_history` of Keras 3, lists of [name, call, output, ...] of Keras 2."""
    if deep > DEEPEST:
        raise ValueError("its lists are too deep")
    if isinstance(found, dict):
        if "keras_history" in found:
            yield _call_of(found["keras_history"])
        else:
            for value in found.values():
                yield from _calls(value, deep + 1)
    elif isinstance(found, list) and len(found) in (3, 4) and isinstance(found[0], str) and isinstance(found[1], int):
        yield _call_of(found)
    elif isinstance(found, list):
        for value in found:
            yield from _calls(value, deep + 1)


def _call_of(history: list[Any]) -> Call:
    name, at, output = history[:3]
    if output != 0:
        raise ValueError(f"layer {str(name)[:40]!r} has several outputs, which cannot be read")
    return str(name), int(at)


def _dtype(config: Config) -> str:
    """Of a layer's weights: "float32" also where it computes in float16 (mixed_float16)."""
    found = config.get("dtype") or "float32"
    name = found if isinstance(found, str) else str((found.get("config") or {}).get("name") or "float32")
    first = "float32" if name.startswith("mixed") else name.split("_")[0]
    if not WORD.fullmatch(first):
        raise ValueError(f"there is no type {first[:40]!r}")
    return first
