"""Runs the test files of this folder under the interpreter that runs it: `python run.py test_wire.py`, or MicroPython.

Every function test_* of a file is called; a failure is an exception. Exit status 1 if one failed.
"""

import sys

HERE = sys.argv[0].rsplit("/", 1)[0] if "/" in sys.argv[0] else "."
sys.path.insert(0, HERE)
sys.path.insert(0, HERE + "/../../mcu_firmware/lib")


def report(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        sys.excepthook(type(error), error, error.__traceback__)


def run(file):
    module = __import__(file[:-3])
    failed = done = 0
    for name in sorted(dir(module)):
        if not name.startswith("test_"):
            continue
        done += 1
        try:
            getattr(module, name)()
        except Exception as error:
            failed += 1
            print("FAILED", file, name)
            report(error)
    print(f"{file}: {done} tests, {failed} failed")
    return failed or not done


if __name__ == "__main__":
    sys.exit(1 if sum(run(file) for file in sys.argv[1:]) else 0)
