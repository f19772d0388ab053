"""A process that can reach no network: SPARQL's SERVICE would send requests from where the registry stands.

On Linux a filter of system calls (seccomp(2), mode 2) lets socket() fail; it holds for all that the process does later, and
nothing in it can take it off. A query's text cannot be searched for the keyword safely: `5SERVICE` is a number and a keyword.
"""

import ctypes
import errno
import platform

NO_NEW_PRIVILEGES, SET_FILTER, MODE_FILTER = 38, 22, 2  # prctl(2)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF: load a word, jump if equal, return
CALL_NUMBER, MACHINE = 0, 4  # where they are in what the filter is given
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.EACCES
SOCKET = {  # machine -> (its number for the kernel's audit, the number of socket() there)
    "x86_64": (0xC000003E, 41),
    "aarch64": (0xC00000B7, 198),
    "armv7l": (0x40000028, 281),
}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def seal() -> bool:
    """From now on this process opens no socket. False: this machine knows no such thing, and nothing has changed."""
    if platform.system() != "Linux" or platform.machine() not in SOCKET:
        return False
    machine, socket = SOCKET[platform.machine()]
    lines = (
        (LOAD, 0, 0, MACHINE),
        (EQUAL, 0, 3, machine),  # calls of another machine's kind: none at all
        (LOAD, 0, 0, CALL_NUMBER),
        (EQUAL, 1, 0, socket),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL),
    )
    instructions = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    program = _Program(len(lines), instructions)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return not prctl(SET_FILTER, MODE_FILTER, ctypes.byref(program), 0, 0)
