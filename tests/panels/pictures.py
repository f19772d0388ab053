"""Pictures of all dashboards for the guides: docs/pictures/grafana-NAME.png, from a building of 50 devices.

    python -m tests.panels.pictures [NAME ...]

One device of the building starts again and again. Dashboards that look back on a week show a week, the others a day.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from dashboards import queries
from tests.building_points import Building
from tests.panels import browser
from tests.panels.buildings import answers, fill
from tests.timeseries import influxdb

FOLDER = Path(__file__).parent.parent.parent / "docs" / "pictures"
TROUBLE = "boot loop"
DAY = Building(trouble=TROUBLE)
WEEK = Building(trouble=TROUBLE, days=7, step_s=1800)
COLOURS = 256
MOST_BYTES = 400_000


def main(names: list[str]) -> int:
    browser.prepare()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, influxdb(Path(folder)) as database, browser.chromium() as shown:
        fill(database, DAY, "day")
        fill(database, WEEK, "week")
        for name in names or queries.names():
            dashboard = queries.read(name)
            long = dashboard["time"]["from"] in ("now-7d", "now-168h")
            building, ask = (WEEK, answers(database, "week")) if long else (DAY, answers(database, "day"))
            picture = FOLDER / f"grafana-{name}.png"
            browser.draw(
                shown, dashboard, ask, building.end_s, {"device": building.bad} if name == "device" else None, picture
            )
            shrink(picture)
            sys.stdout.write(f"{picture.name}: {picture.stat().st_size // 1000} kB\n")
    return 0


def shrink(picture: Path) -> None:
    """The same picture in 256 colours. ValueError if it is too large for a repository even so."""
    with Image.open(picture) as whole:
        fewer = whole.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, 1, dither=Image.Dither.NONE)
        fewer.save(picture, optimize=True)
    if picture.stat().st_size > MOST_BYTES:
        raise ValueError(f"{picture} has {picture.stat().st_size} bytes, more than {MOST_BYTES}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
