"""This board: its settings, its link to the broker, its pins, its clock. What only some boards have is asked for when it is used.

The link is Wi-Fi, a UART with `tegu gateway` behind it, or a plain socket where the machine is on a network already
(MicroPython's unix port). See docs/guides/boards.md for the settings.
"""

import gc
import json
import random
import sys
import time
from binascii import crc32

from energy import Ina219, Ledger
from tegu.topics import check_id

CONNECT_MS = 15000
RESTART_MS = 10000  # so that a board which restarts again and again does not wear out its flash
EPOCH_S = 946684800 if hasattr(time, "gmtime") and time.gmtime(0)[0] == 2000 else 0  # a clock may count from 2000
NEEDED = {"wifi": ("ssid", "host"), "serial": (), "unix": ("host",)}  # of a link
SET_S = 1700000000  # a clock below this was never set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def load_settings(path: str) -> "dict[str, Any]":
    """The settings in the file at `path`. ValueError, with a sentence, if they cannot be used."""
    try:
        with open(path) as file:
            settings = json.load(file)
    except OSError:
        raise ValueError("no %s on this board; make one with: tegu device provision" % path)
    except ValueError:
        raise ValueError("%s is not JSON" % path)
    for name in ("device", "site", "model") + (("room",) if settings.get("room") else ()):
        check_id(settings.get(name, ""), name)
    for part in ("link", "sensor", "label", "meter", "battery"):
        if settings.get(part) is None:
            settings[part] = {}
        if not isinstance(settings[part], dict):
            raise ValueError("%s in %s must be an object, not %r" % (part, path, settings[part]))
    link, sensor = settings["link"], settings["sensor"]
    if link.get("kind") not in NEEDED:
        raise ValueError("link.kind in %s must be wifi, serial or unix, not %r" % (path, link.get("kind")))
    _require(path, "link", link, NEEDED[link["kind"]] + (("ca",) if link.get("tls") else ()))
    if sensor.get("kind") == "scd4x" or settings["meter"]:
        _require(path, "sensor", sensor, ("sda", "scl"))
    if settings["battery"]:
        _require(path, "battery", settings["battery"], ("pin", "scale"))
    return settings  # type: ignore[no-any-return]


def _require(path: str, part: str, given: "dict[str, Any]", names: "tuple[str, ...]") -> None:
    for name in names:
        if given.get(name) in (None, ""):
            raise ValueError("%s.%s is missing in %s" % (part, name, path))


class Board:
    """A board with `settings`; nothing is touched before it is used."""

    def __init__(self, settings: "dict[str, Any]") -> None:
        self._settings = settings
        self._link: "dict[str, Any]" = settings["link"]
        self._serial: "Any" = None
        self._i2c: "Any" = None
        self._sensor: "Any" = None
        self._watchdog: "Any" = None
        self._told_s = 0  # what the coordinator said the time was, and when
        self._told_ms = 0
        random.seed(
            crc32(settings["device"].encode()) ^ time.ticks_us()
        )  # boards that start together must not try together
        pin = settings["label"].get("pir_pin")
        self._pir: "Any" = None
        if pin is not None:
            from sensors import Pir  # a board that has no sensor does not pay for it

            self._pir = Pir(_pin(pin))
        meter = settings["meter"]
        fitted = Ina219(self._bus(), meter.get("shunt_ohms", 0.1)) if meter else None
        self.ledger = Ledger(settings.get("radio", "ble"), fitted)
        self.has_motion = self._pir is not None
        battery = settings.get("battery")
        self._battery: "Any" = None
        if battery:
            from sensors import Battery

            adc = _machine().ADC(_pin(battery["pin"]))
            self._battery = Battery(adc, battery["scale"], battery.get("empty"), battery.get("full"))

    # --- time ---

    clock = staticmethod(time.ticks_ms)

    def set_time(self, unix_s: int) -> None:
        """The coordinator's time, or what it was some time ago: for a board that has no other."""
        if unix_s > self.unix_s():
            self._told_s, self._told_ms = unix_s, time.ticks_ms()

    def unix_s(self) -> int:
        """Seconds since 1970; 0 if nobody has told this board the time."""
        now_s = _clock_s()
        if now_s < SET_S:
            if not self._told_s:
                return 0
            passed_s = time.ticks_diff(time.ticks_ms(), self._told_ms) // 1000
            self._told_s += passed_s  # little by little: ticks wrap
            self._told_ms = time.ticks_add(self._told_ms, passed_s * 1000)
            now_s = self._told_s
        return now_s

    def local_s(self) -> int:
        """The same in local time, of the room; 0 if it is not known."""
        now_s = self.unix_s()
        return now_s + int(self._settings.get("utc_offset_s", 0)) if now_s else 0

    def feed(self) -> None:
        """Tell the watchdog, if there is one, that all is well."""
        if self._watchdog is None and self._settings.get("watchdog_s") and hasattr(_machine(), "WDT"):
            self._watchdog = _machine().WDT(timeout=1000 * self._settings["watchdog_s"])
        if self._watchdog is not None:
            self._watchdog.feed()

    def rest(self, milliseconds: int) -> None:
        """Nothing to do for so long."""
        self.feed()
        time.sleep_ms(milliseconds)

    @staticmethod
    def restart(wait_ms: int = RESTART_MS) -> None:
        """Begin anew, from what is in flash."""
        time.sleep_ms(wait_ms)
        if not hasattr(_machine(), "reset"):
            sys.exit(1)  # MicroPython's unix port
        _machine().reset()

    def sleep(self, seconds: int) -> None:
        """Deep sleep: power off but for the clock; then the board starts anew."""
        _machine().deepsleep(seconds * 1000)

    random = staticmethod(random.random)

    @staticmethod
    def free_heap_bytes() -> int:
        gc.collect()
        return gc.mem_free()

    # --- sensors ---

    def motion(self) -> bool:
        """Whether the motion sensor sees some now."""
        return self._pir is not None and self._pir.read()[0] > 0

    def reading(self) -> "Sequence[float] | None":
        """CO2 in ppm, temperature in Celsius, humidity in percent; None: nothing new. OSError: the sensor does not answer."""
        if self._sensor is None:
            kind = self._settings["sensor"].get("kind", "none")
            if kind != "scd4x":
                raise OSError(
                    "sensor.kind %r gives no CO2; the presence model needs scd4x, or replay to try it out" % kind
                )
            from sensors import Scd4x

            self._sensor = Scd4x(self._bus(), time.sleep_ms)
        return self._sensor.read()  # type: ignore[no-any-return]

    def vitals(self) -> "dict[str, float]":
        """What there is to say of its battery and its radio link, by the names of telemetry; nothing of what it has not."""
        numbers: "dict[str, float]" = {}
        if self._battery is not None:
            numbers.update(zip(self._battery.names, self._battery.read()))
        if self._link["kind"] == "wifi":
            import network

            try:
                numbers["rssi_dbm"] = float(network.WLAN(network.STA_IF).status("rssi"))  # type: ignore[arg-type]
            except (OSError, ValueError, TypeError):  # a firmware that does not tell, or no link now
                pass
        return numbers

    def _bus(self) -> "Any":
        if self._i2c is None:
            wires = self._settings["sensor"]
            self._i2c = _machine().I2C(wires.get("i2c", 0), sda=_pin(wires["sda"]), scl=_pin(wires["scl"]), freq=50000)
        return self._i2c

    # --- the link ---

    def open_link(self) -> "Any":
        """A stream to the broker, as radio.py has it. OSError: none now."""
        if self._link["kind"] == "serial":
            return self._open_serial()
        if self._link["kind"] == "wifi":
            self._join_wifi()
        return self._open_socket()

    def _open_serial(self) -> "Any":
        if self._serial is None:
            from serial_link import SerialLink

            pause = lambda: self.rest(1)  # noqa: E731
            self._serial = SerialLink(_uart(self._link), self._settings["device"], time.ticks_ms, pause)
        return self._serial.open()

    def called(self) -> bool:
        """Whether a gateway has just come up and asks for boards."""
        return self._serial is not None and bool(self._serial.called())

    @staticmethod
    def _set_clock() -> None:
        """From the network's time servers: a certificate is valid from one day to another."""
        if _clock_s() < SET_S:
            try:
                import ntptime

                ntptime.settime()
            except (ImportError, OSError) as error:
                raise OSError("no time from the network (%s); TLS needs to know the day" % error)

    def _join_wifi(self) -> None:
        import network

        wlan = network.WLAN(network.STA_IF)
        if wlan.isconnected():
            return
        wlan.active(True)
        wlan.connect(self._link["ssid"], self._link.get("wifi_password"))
        until = time.ticks_add(time.ticks_ms(), CONNECT_MS)
        while not wlan.isconnected():
            if time.ticks_diff(until, time.ticks_ms()) < 0:
                raise OSError("no Wi-Fi %r: is it in reach, and is its password right?" % self._link["ssid"])
            self.rest(100)

    def _open_socket(self) -> "Any":
        import socket

        if self._link.get("tls"):
            self._set_clock()

        host, port = self._link["host"], self._link.get("port", 8883 if self._link.get("tls") else 1883)
        made = socket.socket()
        try:
            made.connect(socket.getaddrinfo(host, port)[0][-1])
            made.setsockopt(6, 1, 1)  # TCP_NODELAY: small packets are not held back
            stream = self._secured(made, host) if self._link.get("tls") else made
            stream.setblocking(False)
        except (OSError, ValueError) as error:  # ValueError: a certificate that is not the broker's
            made.close()
            raise OSError("no broker at %s:%d (%s)" % (host, port, error))
        return stream

    def _secured(self, made: "Any", host: str) -> "Any":
        """TLS with the broker's certificate checked against the authority in the file `ca` (DER)."""
        try:
            import tls
        except ImportError:
            raise OSError("this firmware has no TLS; use a gateway, which speaks it for the board")
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        with open(self._link["ca"], "rb") as file:
            context.load_verify_locations(file.read())
        context.verify_mode = tls.CERT_REQUIRED  # type: ignore[attr-defined]  # missing in the stubs
        return context.wrap_socket(made, server_hostname=host)


def _machine() -> "Any":
    import machine

    return machine


def _pin(number: "int | str") -> "Any":
    return _machine().Pin(number)


def _uart(link: "dict[str, Any]") -> "Any":
    """The UART that the gateway listens to."""
    if sys.platform == "qemu":
        import board_emulated

        return board_emulated.Uart1()
    number, baud = link.get("uart", 1), link.get("baud", 115200)
    wires = {name: _pin(link[name]) for name in ("tx", "rx") if name in link}
    try:
        return _machine().UART(number, baud, timeout=0, rxbuf=1024, **wires)
    except TypeError:  # nRF52: pins and buffer are the firmware's
        return _machine().UART(number, baud, timeout=0)


def _clock_s() -> int:
    """Seconds since 1970 by the board's clock, right or not; 0 if it has none."""
    return int(time.time()) + EPOCH_S if hasattr(time, "time") else 0
