"""The code that the guides show runs as it stands there."""

import threading
import time
from pathlib import Path
from typing import Any

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "a-device-of-your-own.md"


def test_the_source_of_the_guide_pairs_the_present_reading_with_its_label() -> None:
    shown = GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"read_the_sensor": lambda: (600.0, 21.0, 40.0)}
    exec(shown, names)
    source = names["Office"]()
    assert source.next_support(1) is None
    source.receive_label(1)  # no reading with an hour of history yet: nothing to pair it with
    assert source.next_support(1) is None
    source.row = (0.5,) * 11
    source.receive_label(1)
    assert source.next_support(0) is None
    assert source.next_support(1) == ((0.5,) * 11, 1)
    assert source.next_support(1) is None
    assert (source.channel, source.present()) == ("presence", (0.5,) * 11)


def test_the_source_of_the_guide_tells_what_its_sensor_reads() -> None:
    shown = GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    rests, never = threading.Event(), threading.Event()

    class Clock:
        """time, with a sleep that is told of and does not end."""

        timezone, time = 0, staticmethod(time.time)

        @staticmethod
        def sleep(_: float) -> None:
            rests.set()
            never.wait()

    names: dict[str, Any] = {"read_the_sensor": lambda: (600.0, 21.0, 40.0)}
    exec(shown, names)
    names["time"] = Clock
    source = names["Office"]()
    assert rests.wait(20)
    assert source.readings() == [("co2", "ppm", 600.0), ("temperature", "Cel", 21.0), ("humidity", "%RH", 40.0)]
