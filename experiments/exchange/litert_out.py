"""Tegu's model as an int8 `.tflite` file, and how far its outputs are from the float model's, measured.

Full-integer quantisation after training (LiteRT's "post-training integer quantization"): weights, activations, inputs
and outputs are int8, their ranges taken from calibration inputs. The file has a batch of one and only LiteRT's built-in
int8 operations. It is measured with the reference kernels, which those of microcontrollers are held against.
"""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tegu.grid import Grid
from tegu.model import Layer, Model

from . import keras, optional

Floats = NDArray[np.float32]
FEWEST_ROWS = 10  # of calibration: eight set the ranges, two are held out
HELD_OUT_EVERY = 5  # the last row of every five


@dataclass(frozen=True)
class Difference:
    """The int8 file against the float model on held-out inputs. Differences are absolute, in units of the outputs.

    output_step: what one step of the int8 outputs is worth; smaller differences than half of it cannot be expected.
    same_answer_share: how often both say the same class, or the same side of 0.5 where outputs are sigmoids; None where
    outputs are numbers.
    """

    rows: int
    largest: float
    mean: float
    output_step: float
    same_answer_share: float | None
    file_bytes: int


def to_keras(spec: str, weights: Sequence[float] | Floats, batch: int | None = None) -> Any:
    """The Keras model with the same outputs, flat: (batch, outputs). That a layer is local is not kept.

    ValueError if spec cannot be read, or if there are not as many weights as it has.
    """
    model = Model(spec)
    flat = np.asarray(weights, dtype=np.float32)
    if flat.shape != (model.size,):
        raise ValueError(f"the model has {model.size} weights, not {flat.size}")
    layers = keras().layers
    inputs, *texts = [part.split() for part in model.spec.split("|")]
    shape = [int(size) for size in inputs[0].split("x")]
    built = keras().Sequential([layers.Input(shape, batch_size=batch)])
    flat_already = len(shape) == 1
    for words, layer in zip(texts, model.layers, strict=True):
        if not (flat_already or isinstance(layer, Grid)):
            built.add(layers.Flatten())
        flat_already = not isinstance(layer, Grid)
        built.add(_layer(layers, words, layer))
        if layer.size:
            built.layers[-1].set_weights(_arrays(layer, flat))
    if not flat_already:
        built.add(layers.Flatten())
    return built


def _layer(layers: Any, words: list[str], layer: Layer) -> Any:
    if not isinstance(layer, Grid):
        return layers.Dense(layer.units, activation=layer.activation)
    where = {"strides": layer.stride, "padding": "same" if "same" in words else "valid"}
    kernel = tuple(layer.kernel)
    if layer.kind == "conv":
        return layers.Conv2D(layer.shape[2], kernel, activation=layer.activation, **where)
    if layer.kind == "depthwise":
        return layers.DepthwiseConv2D(kernel, activation=layer.activation, **where)
    return {"maxpool": layers.MaxPooling2D, "meanpool": layers.AveragePooling2D}[layer.kind](kernel, **where)


def _arrays(layer: Layer, flat: Floats) -> list[Floats]:
    """The layer's kernel and biases in Keras' order of axes, outputs last."""
    kernel, biases = np.split(flat[layer.offset : layer.offset + layer.size], [layer.bias - layer.offset])
    if not isinstance(layer, Grid):
        return [kernel.reshape(layer.units, layer.inputs).T, biases]
    if layer.kind == "depthwise":
        return [kernel.reshape(layer.depth, 1, *layer.kernel).transpose(2, 3, 0, 1), biases]
    return [kernel.reshape(layer.shape[2], *layer.kernel, layer.depth).transpose(1, 2, 3, 0), biases]


def export(
    spec: str, weights: Sequence[float] | Floats, calibration: NDArray[Any], path: str | os.PathLike[str]
) -> Difference:
    """Write the int8 `.tflite` file and measure it.

    calibration: (rows, inputs), as the model gets them, so behind a normaliser if it has one. Every fifth row is held
    out: it sets no range, and the difference is measured on it. ValueError for wrong shapes or numbers that are not
    finite, OSError if the file cannot be written.
    """
    model = Model(spec)
    rows = _checked(model, calibration)
    held_out = np.arange(len(rows)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    optional("ai_edge_litert")  # before the long part
    built = to_keras(spec, weights, batch=1)
    shape = tuple(built.inputs[0].shape[1:])
    with _quiet():
        content = _convert(built, rows[~held_out].reshape(-1, 1, *shape))
        quantised, output_step = _run(content, rows[held_out].reshape(-1, 1, *shape))
        exact = np.concatenate([np.asarray(built(row)) for row in rows[held_out].reshape(-1, 1, *shape)])
    Path(path).write_bytes(content)
    away = np.abs(quantised - exact)
    return Difference(
        len(exact),
        float(away.max()),
        float(away.mean()),
        output_step,
        _same_answer_share(model, quantised, exact),
        len(content),
    )


def _checked(model: Model, calibration: NDArray[Any]) -> Floats:
    if calibration.ndim != 2 or calibration.shape[1] != model.inputs or calibration.dtype.kind not in "iuf":
        raise ValueError(
            f"calibration inputs must be numbers of shape (rows, {model.inputs}), "
            f"not {calibration.dtype} of shape {calibration.shape}"
        )
    if len(calibration) < FEWEST_ROWS:
        raise ValueError(f"{len(calibration)} calibration inputs are too few; at least {FEWEST_ROWS} are needed")
    rows = calibration.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("calibration inputs must be finite")
    return rows


def _convert(built: Any, rows: Floats) -> bytes:
    """The int8 file of a Keras model with a batch of one; rows of shape (rows, 1, ...) set the ranges."""
    tensorflow = optional("tensorflow")
    lite = tensorflow.lite
    converter = lite.TFLiteConverter.from_keras_model(built)
    converter.optimizations = [lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row] for row in rows)
    converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    content: bytes = converter.convert()
    return content


def _run(content: bytes, rows: Floats) -> tuple[Floats, float]:
    """The file's outputs for rows of shape (rows, 1, ...), as numbers, and what one step of them is worth."""
    litert = optional("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_content=content, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (before,), (behind,) = interpreter.get_input_details(), interpreter.get_output_details()
    (in_step, in_zero), (out_step, out_zero) = before["quantization"], behind["quantization"]
    found = []
    for row in rows:
        interpreter.set_tensor(before["index"], np.clip(np.rint(row / in_step) + in_zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        found.append((interpreter.get_tensor(behind["index"]).astype(np.float32) - out_zero) * np.float32(out_step))
    return np.concatenate(found), float(out_step)


def _same_answer_share(model: Model, found: Floats, exact: Floats) -> float | None:
    last = model.layers[-1].activation
    if last == "softmax":
        return float((found.argmax(1) == exact.argmax(1)).mean())
    return float(((found >= 0.5) == (exact >= 0.5)).mean()) if last == "sigmoid" else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Throw away what the converter prints, for the whole process: its C++ writes to the file descriptors themselves."""
    nothing = io.StringIO()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        with tempfile.TemporaryFile() as nowhere, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number in (1, 2):
                os.dup2(nowhere.fileno(), number)
            with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
                yield
    finally:
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
