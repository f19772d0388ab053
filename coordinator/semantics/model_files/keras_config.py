"""The configuration of a Keras model, out of its file: JSON on standard output, or one sentence on standard error and exit code 1.

    python keras_config.py PATH

A program of its own, because the files are not believed: libhdf5 may crash on a broken one, and a zip may be a bomb. It takes
256 MiB of memory and ten seconds of computing at most, and needs nothing of ours. A `.keras` file is a zip with config.json
in it; in an `.h5` file (HDF5, the older format) the same text is the attribute model_config of the root.
"""

import resource
import sys
import zipfile
from pathlib import Path

MOST_MEMORY_BYTES = 256 << 20
MOST_SECONDS = 10
LARGEST_BYTES = 4 << 20  # of the configuration


def main(path: str) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
        if head[:4] == b"PK\3\4":
            text = _from_zip(path)
        elif head == b"\x89HDF\r\n\x1a\n":
            text = _from_hdf5(path)
        else:
            return _refuse("it is neither a .keras nor an HDF5 file")
    except ImportError:
        return _refuse("to read an .h5 file install h5py, or save the model as .keras")
    except KeyError:
        return _refuse("it holds no model, perhaps weights alone")
    except Exception as error:
        return _refuse(f"it is broken ({type(error).__name__})")
    if len(text) > LARGEST_BYTES:
        return _refuse(f"its configuration has more than {LARGEST_BYTES >> 20} MiB")
    sys.stdout.buffer.write(text)
    return 0


def _from_zip(path: str) -> bytes:
    """KeyError: there is no config.json in it."""
    with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
        return file.read(LARGEST_BYTES + 1)


def _from_hdf5(path: str) -> bytes:
    """KeyError: there is no model_config in it."""
    import h5py

    with h5py.File(path, "r") as file:
        found = file.attrs["model_config"]
    return found if isinstance(found, bytes) else str(found).encode()


def _refuse(sentence: str) -> int:
    sys.stderr.write(sentence)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
