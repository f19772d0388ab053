"""Tegu's shared library: what a device is, in pure Python that runs on CPython and MicroPython alike.

The straight line, one module an arrow: `learner` (a sample changes the weights), `sparse` (the largest changes are
chosen), `wire` (they become bytes), `topics` (the bytes have an address), `session` (when all that happens).
"""

__version__ = "0.1.0"
