"""A serial port, and why it did not open, as a sentence. Real ports, socket://host:port, whatever pyserial takes."""

import errno
import getpass

import serial
from serial.tools import list_ports

BUSY = (errno.EBUSY, errno.EAGAIN)  # the second: another program of pyserial's has locked it


def open_port(port: str, baud: int, timeout_s: float) -> serial.Serial:
    """The port, locked against other programs that ask. OSError with a sentence."""
    try:
        return serial.serial_for_url(port, baudrate=baud, timeout=timeout_s, exclusive=True)
    except (OSError, ValueError) as error:
        raise OSError(why_closed(port, error)) from error


def why_closed(port: str, error: Exception) -> str:
    """What the owner can do about a port that does not open."""
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"no port {port}; is the board plugged in? The ports here: {', '.join(ports()) or 'none'}"
    if number in (errno.EACCES, errno.EPERM):
        return f"no right to open {port}: sudo usermod -aG dialout {getpass.getuser()}, then log in again"
    if number in BUSY:
        return f"{port} is busy: end the other program that has it (a monitor, a gateway, ModemManager)"
    return f"{port} does not open: {error}"


def ports() -> list[str]:
    """The serial ports of this machine that are more than a number, as boards are."""
    return sorted(found.device for found in list_ports.comports() if found.hwid != "n/a")
