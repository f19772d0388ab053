"""Bytes of one update by format, as a markdown table, and the time of Tegu's codec as ratios of interleaved runs.

Deltas are trained (tests/trained.py), the same indices and values for every format. int8 formats carry the same symbols.
"""

import io
import json
import sys
import time
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import numpy as np

from coordinator import sections
from tegu.model import Model
from tegu.wire.bits import varint_bytes
from tegu.wire.update import Update, decode_update, encode_update
from tests.trained import DIGITS, SINE, digits_delta, entropy_bits, sine_delta, update_of

HEADER_BYTES = 16  # what every format is charged for shape, version, boot, sequence, counts and CRC
SHARES = (1.0, 5.0, 10.0, 25.0, 50.0)


def saved(update: Update) -> bytes:
    """numpy.savez_compressed of the indices and values."""
    file = io.BytesIO()
    np.savez_compressed(file, indices=np.array(update.indices), values=np.array(update.values))
    return file.getvalue()


def gaps(update: Update) -> list[int]:
    return [int(gap) for gap in np.diff(np.array([-1, *update.indices])) - 1]


def columns(size: int, payload: bytes, update: Update) -> dict[str, float]:
    count = len(update.indices)
    pairs = {str(index): round(value, 7) for index, value in zip(update.indices, update.values, strict=True)}
    return {
        "entropy limit": entropy_bits(size, update) / 8,
        "Tegu int8": len(payload),
        "varint gaps + int8": HEADER_BYTES + sum(varint_bytes(gap) for gap in gaps(update)) + count,
        "npz compressed": len(saved(update)),
        "COO int32 + float32": HEADER_BYTES + 8 * count,
        "JSON sparse": len(json.dumps(pairs, separators=(",", ":"))),
        "dense float32": HEADER_BYTES + 4 * size,
    }


def size_table() -> None:
    print("Bytes of one update. In brackets: times Tegu's.\n")
    head = None
    for spec, delta in ((SINE, sine_delta(1)), (DIGITS, digits_delta(1))):
        for share in SHARES:
            payload, update = update_of(spec, delta, share)
            row = columns(len(delta), payload, update)
            if head is None:
                head = list(row)
                print("| parameters | P % | entries | " + " | ".join(head) + " |")
                print("|---:" * (3 + len(head)) + "|")
            cells = [f"{value:,.0f} ({value / len(payload):.2f})" for value in row.values()]
            cells[1] = f"**{len(payload):,}**"
            print(f"| {len(delta):,} | {share:g} | {len(update.indices):,} | " + " | ".join(cells) + " |")


def interleaved(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each, run in turn so that a busy machine slows all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in seconds.items()}


def time_table() -> None:
    print(
        "\nTime of one update at P = 10 %, as a ratio to zlib over the dense float32 bytes (medians of interleaved runs).\n"
    )
    print(
        "| parameters | encode | decode | numpy decode | npz encode | npz decode | JSON encode | JSON decode | zlib of dense |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for spec, delta, repeats in ((SINE, sine_delta(1), 40), (DIGITS, digits_delta(1), 8)):
        model = Model(spec)
        payload, update = update_of(spec, delta, 10.0)
        chosen = array("H", update.indices)
        file = saved(update)
        pairs = {str(index): value for index, value in zip(update.indices, update.values, strict=True)}
        text = json.dumps(pairs)
        dense = bytes(delta)
        seconds = interleaved(
            {
                "encode": lambda model=model, delta=delta, chosen=chosen: encode_update(model, delta, chosen),
                "decode": lambda payload=payload, model=model: decode_update(payload, model),
                "numpy decode": lambda payload=payload, model=model: decode_update(payload, model, sections),
                "npz encode": lambda update=update: saved(update),
                "npz decode": lambda file=file: dict(np.load(io.BytesIO(file))),
                "JSON encode": lambda pairs=pairs: json.dumps(pairs),
                "JSON decode": lambda text=text: json.loads(text),
                "zlib": lambda dense=dense: zlib.compress(dense),
            },
            repeats,
        )
        cells = [f"{value / seconds['zlib']:.2f}" for value in seconds.values()]
        print(f"| {model.size:,} | " + " | ".join(cells[:-1]) + " | 1 |")


if __name__ == "__main__":
    size_table()
    time_table()
