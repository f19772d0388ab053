"""The operator's guide to monitoring: its table of what is measured is that of coordinator.metrics.

python -m tests.test_monitoring_guide     writes the table anew
"""

import re
import sys
import tomllib
from pathlib import Path

from coordinator.metrics import CHANNELS, MEASUREMENTS, Field, Measurement
from coordinator.newest import COUNTED
from coordinator.prometheus import OF_CHANNEL, TABLE
from coordinator.settings import LinkSettings, ModelSettings, parse

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "monitoring.md"
BEGIN, END = "<!-- measurements -->\n", "<!-- end of measurements -->\n"


def table() -> str:
    """All measurements, as Markdown."""
    return "\n".join(_section(told) for told in MEASUREMENTS.values())


def _section(told: Measurement) -> str:
    names = ", ".join(f"`{tag}`" for tag in told.tags)
    rows = [_row(told.name, field) for field in told.fields.values()]
    head = ["| field | unit | what | in Prometheus |", "|---|---|---|---|"]
    counted = f" How many there were is `{COUNTED[told.name]}` in Prometheus." if told.name in COUNTED else ""
    return "\n".join([f"**{told.name}**: {told.help}. By {names}.{counted}", "", *head, *rows, ""])


def _row(measurement: str, field: Field) -> str:
    names = [TABLE[measurement][field.name].name] if field.name in TABLE[measurement] else []
    if measurement == "reading":
        names = [*(one.name for one in OF_CHANNEL.values()), f"{names[0]} for other channels"]
    shown = ", ".join(f"`{name}`" if " " not in name else f"`{name.split()[0]}` for other channels" for name in names)
    return f"| {field.name} | {field.unit} | {field.help} | {shown} |"


def written(text: str) -> str:
    """The guide with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def test_the_table_is_current() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert text == written(text), "run: python -m tests.test_monitoring_guide"


def test_a_row_says_what_the_table_of_measurements_says() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    row = "| battery_percent | percent | charge of its battery | `tegu_device_battery_ratio` |"
    assert row in text.split("**device**")[1].split("**bytes**")[0]
    assert re.findall(r"^\*\*(\w+)\*\*: ", text, re.MULTILINE) == list(MEASUREMENTS)
    assert all(f"`tegu_reading_{channel}" in text for channel in CHANNELS)


def test_the_settings_that_are_shown_are_read() -> None:
    link = {"coordinator": {}, "model": {"name": "presence", "spec": "11 | dense 2 softmax"}}
    shown = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == 3
    for text in shown:
        settings = parse({**link, **tomllib.loads(text)}, "guide")
        assert (settings.link, settings.model) == (LinkSettings(), ModelSettings(**link["model"]))  # type: ignore[arg-type]


def test_what_it_links_to_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert [target for target in targets if not (GUIDE.parent / target).exists()] == []


if __name__ == "__main__":
    GUIDE.write_text(written(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{GUIDE}: written\n")
