"""`tegu model`: a Keras model becomes Tegu's text and weights, Tegu's weights become an int8 `.tflite` file.

Weights are raw float32, little-endian, one behind the other in Tegu's layout. The text of an imported model goes to
stdout, alone, so that it can be put into a variable; what was measured goes to stderr.
"""

import argparse
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from tegu.learner import Learner
from tegu.model import Model

from . import keras_in, litert_out

CHECKED_ROWS = 2  # of random inputs; the device's arithmetic is slow here too
LARGEST_DIFFERENCE = 1e-3  # of outputs up to 1; a part of larger ones


def run(arguments: list[str]) -> int:
    """`tegu model import MODEL --out FILE`, `tegu model export --spec TEXT --weights FILE --calibration FILE --out FILE`."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "import":
            _import(options.model, options.out)
        else:
            _export(options.spec, options.weights, options.calibration, options.out)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu model: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tegu model", description="Models from Keras, and to LiteRT.")
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("import", help="a Keras model: its text to stdout, its weights to a file")
    reading.add_argument("model", type=Path, metavar="MODEL", help=".keras or .h5 file")
    reading.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights, raw little-endian float32")
    writing = commands.add_parser("export", help="an int8 .tflite file, and its difference from the float model")
    writing.add_argument("--spec", required=True, metavar="TEXT", help="e.g. '4 | dense 8 tanh | dense 2 softmax'")
    writing.add_argument("--weights", type=Path, required=True, metavar="FILE", help="raw little-endian float32")
    writing.add_argument("--calibration", type=Path, required=True, metavar="FILE", help=".npy of shape (rows, inputs)")
    writing.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .tflite file")
    return parser


def _import(path: Path, out: Path) -> None:
    model = keras_in.load(path)
    spec, weights = keras_in.read(model)
    largest = _largest_difference(model, spec, weights)
    if not largest <= LARGEST_DIFFERENCE:
        raise ValueError(f"Tegu's outputs differ by {largest:.2g} from those of {path}; nothing was written")
    out.write_bytes(np.asarray(weights).astype("<f4").tobytes())
    sys.stdout.write(f"{spec}\n")
    sys.stderr.write(
        f"{len(weights)} weights are in {out}; outputs are within {largest:.2g} on {CHECKED_ROWS} random inputs\n"
    )


def _largest_difference(model: Any, spec: str, weights: "array[float]") -> float:
    """Of the device's own outputs from those of Keras; as a part of the largest output where that is more than 1."""
    learner = Learner(Model(spec), array("f", weights), 0.1)
    rows = np.random.default_rng(1).uniform(-1, 1, (CHECKED_ROWS, learner.model.inputs)).astype(np.float32)
    expected = np.asarray(model(rows.reshape(-1, *model.inputs[0].shape[1:]))).reshape(CHECKED_ROWS, -1)
    found = np.array([list(learner.predict_one(row)) for row in rows.tolist()])
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def _export(spec: str, weights: Path, calibration: Path, out: Path) -> None:
    found = litert_out.export(spec, _read_weights(weights), _read_calibration(calibration), out)
    step = f"one step of an output is {found.output_step:.2g}"
    sys.stdout.write(f"{out}: {found.file_bytes} bytes\n")
    sys.stdout.write(
        f"On {found.rows} held-out inputs outputs are {found.mean:.2g} away in the mean, at most {found.largest:.2g}; {step}\n"
    )
    if found.same_answer_share is not None:
        sys.stdout.write(f"The answer is the same for {100 * found.same_answer_share:.1f} %\n")


def _read_weights(path: Path) -> litert_out.Floats:
    content = path.read_bytes()
    if len(content) % 4:
        raise ValueError(f"{path} has {len(content)} bytes, which are no float32 numbers")
    return np.frombuffer(content, "<f4").astype(np.float32)


def _read_calibration(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a .npy file of numbers") from error
