# ruff: noqa: E402, PTH123
"""Prints what board.load_settings says of each line of a file of JSON: `micropython settings.py FIRMWARE LIBRARY CASES`."""

import sys

sys.path[:] = sys.argv[1:3] + sys.path

from board import load_settings

PATH = sys.argv[3] + ".one"
with open(sys.argv[3]) as cases:
    for case in cases:
        with open(PATH, "w") as file:
            file.write(case)
        try:
            load_settings(PATH)
            print("good")
        except ValueError as error:
            print(str(error).replace(PATH, "settings.json"))
