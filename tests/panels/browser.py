"""Draws a Grafana dashboard in a real browser: Grafana's own components, a database's own answers, no Grafana server.

What this proves: the database understands every query of the dashboard, with its variables filled in by Grafana's
code; the answers become frames by the rules of Grafana's InfluxDB data source; Grafana's code (@grafana/data and
scenes) applies transformations, overrides, units, thresholds and mappings; and Grafana's components (@grafana/ui)
draw the panels with no error.

What it does not prove: that a Grafana server imports the dashboard; and it is not Grafana's core panel plugins that
draw: npm does not carry them. It has the components that they draw with, and page/*.jsx joins these to a dashboard's
options as the plugins do. By code of ours are the data source, the stretches of a state timeline and the marks of
annotations.

`prepare` installs the npm packages (443 MB, into build/panels) and bundles the page, each only when it must.
"""

import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

HERE = Path(__file__).parent
BUILT = HERE.parent.parent / "build" / "panels"
INSTALL = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
LOCK = "package-lock.json"  # without addresses: npm install --package-lock-only --omit-lockfile-registry-resolved
ICONS = BUILT / "node_modules/@grafana/ui/dist/public/img/icons"
FONT = BUILT / "node_modules/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"
NO_ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"/>'  # npm has most of Grafana's icons, not all
ICONS_PATH, FONTS_PATH = "/public/build/img/icons/", "/public/fonts/inter/"
ADDRESS = "http://grafana.invalid"  # nobody is there: _answer answers every request
SOURCE = {"type": "influxdb", "uid": "tegu-influxdb", "name": "Tegu"}
DRAWN_DEADLINE_MS = 60_000
# Pixels: of the page, of all that may be above the panels, of a row of Grafana's grid with its gap, below the last panel.
WIDTH, HEAD, ROW, EDGE = 1920, 250, 38, 16
BOTTOM = """() => Math.max(
    ...[...document.querySelectorAll("[data-viz-panel-key]")].map((panel) => panel.getBoundingClientRect().bottom))"""
HTML = """<!doctype html>
<html lang="en" class="theme-dark">
<head><meta charset="utf-8"><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"></head>
<body class="theme-dark">
<div id="page"></div>
<script>window.grafanaBootData = { settings: {}, user: {}, navTree: [] }</script><script src="/page.js"></script>
</body>
</html>"""

Values = Mapping[str, str | list[str]]
Ask = Callable[[str], dict[str, Any]]  # InfluxQL -> the answer of InfluxDB, times in ms


class Panel(NamedTuple):
    """What a panel shows. names: of its series, values or columns. links: addresses that it leads to.

    coloured: pixels of its canvases that are not grey.
    """

    title: str
    type: str
    names: list[str]
    error: str | None
    empty: bool
    text: str
    links: list[str]
    coloured: int


class Drawing(NamedTuple):
    """panels: by title. console: errors and warnings of the page. queries: every InfluxQL that was asked."""

    panels: dict[str, Panel]
    console: list[str]
    queries: list[str]


def prepare() -> None:
    """Install and bundle what the page needs; nothing when that is done. OSError or CalledProcessError if it cannot."""
    wanted, installed = HERE / LOCK, BUILT / LOCK
    if not (ICONS.is_dir() and installed.is_file() and installed.read_text() == wanted.read_text()):
        BUILT.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", LOCK):
            shutil.copy(HERE / name, BUILT / name)
        try:
            subprocess.run(INSTALL, cwd=BUILT, check=True, stdout=subprocess.DEVNULL)
        except BaseException:
            installed.unlink()  # half of it is none
            raise
    sources, bundle = [wanted, HERE / "build.mjs", *(HERE / "page").iterdir()], BUILT / "page.js"
    if not bundle.is_file() or bundle.stat().st_mtime < max(each.stat().st_mtime for each in sources):
        subprocess.run(["node", HERE / "build.mjs", BUILT], check=True)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium. FileNotFoundError says how to install it."""
    program = shutil.which("chromium")
    if not program:
        raise FileNotFoundError("chromium is not installed; install it with: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def draw(
    browser: Browser,
    dashboard: dict[str, Any],
    ask: Ask,
    now_s: int,
    values: Values | None = None,
    picture: Path | None = None,
) -> Drawing:
    """Draw the dashboard as it looks at now_s (seconds since 1970), and write a PNG of all of it.

    values: of variables, in place of those that the dashboard begins with. TimeoutError names panels that do not draw.
    """
    rows = max((panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]), default=0)
    size = ViewportSize(width=WIDTH, height=HEAD + rows * ROW)
    console: list[str] = []
    queries: list[str] = []
    page = browser.new_page(viewport=size, timezone_id="UTC", locale="en-US")
    page.on("console", lambda message: _keep(message, console))
    page.on("pageerror", lambda error: console.append(f"error: {error}"))
    page.route("**/*", lambda route: _answer(route, ask, queries, console))
    page.clock.set_fixed_time(now_s)
    page.set_default_timeout(DRAWN_DEADLINE_MS)
    try:
        page.goto(ADDRESS + "/")
        shown = _draw(page, dashboard, values or {}, console)
        if picture:
            page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": page.evaluate(BOTTOM) + EDGE})
    finally:
        page.close()
    known = {panel["id"]: panel for panel in dashboard["panels"]}
    panels = [_panel(known[told["id"]], told) for told in shown]
    return Drawing({panel.title: panel for panel in panels}, console, queries)


def _draw(page: Page, dashboard: dict[str, Any], values: Values, console: list[str]) -> list[dict[str, Any]]:
    span = dashboard["time"]
    asked = {"dashboard": dashboard, "source": SOURCE, "values": dict(values), "from": span["from"], "to": span["to"]}
    page.evaluate("asked => { draw(asked).then(told => { window.told = told }) }", asked)
    try:
        page.wait_for_function("() => window.told")
    except PlaywrightTimeout:
        raise TimeoutError(f"panels {page.evaluate('() => missing()')} did not draw; the page said {console}") from None
    return list(page.evaluate("() => window.told"))


def _panel(known: dict[str, Any], told: dict[str, Any]) -> Panel:
    words = (told["names"], told["error"], told["empty"], told["text"], told["links"], told["coloured"])
    return Panel(known["title"], known["type"], *words)


def _keep(message: ConsoleMessage, console: list[str]) -> None:
    if message.type in ("error", "warning"):
        console.append(f"{message.type}: {message.text}")


def _answer(route: Route, ask: Ask, queries: list[str], console: list[str]) -> None:
    """Whatever the page asks for: itself, a file of Grafana's, or the database's answer to a query."""
    asked = urllib.parse.urlsplit(route.request.url)
    if asked.path == "/":
        route.fulfill(body=HTML, content_type="text/html")
    elif asked.path == "/query":
        queries.append(urllib.parse.parse_qs(asked.query)["q"][0])
        route.fulfill(json=ask(queries[-1]))
    elif asked.path.startswith(ICONS_PATH):
        icon = ICONS / asked.path.removeprefix(ICONS_PATH)
        route.fulfill(body=icon.read_text() if icon.is_file() else NO_ICON, content_type="image/svg+xml")
    elif asked.path.startswith(FONTS_PATH):
        route.fulfill(path=FONT)
    elif (BUILT / asked.path[1:]).is_file():
        route.fulfill(path=BUILT / asked.path[1:])
    else:
        console.append(f"error: nothing is at {asked.path}")
        route.fulfill(status=404)
