"""`tegu watch` in a real browser: offline, live, on a phone, and when something is wrong."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboards.watch.command import run

from .parts import needs
from .watching import DEADLINE_S, Written, building, minute, point, round_closed, served, status, write

PAGES = ("/", "/rounds", "/learning", "/bytes", "/energy", "/coordinator", "/device/room-1")
READY = ".tile-value:not(:empty), .device-told:not(:empty), .lines li"  # a page that has been shown its values
LIVE_S = 5.0  # by which a change is seen; 2 s where the machine has little else to do


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needs("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page, and what it asked for and complained of."""

    def __init__(self, browser: Browser, width: int = 1400, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()

    def go(self, address: str) -> Page:
        self.page.goto(address)
        self.page.wait_for_selector(READY, timeout=DEADLINE_S * 1000)
        return self.page

    def rows(self) -> list[str]:
        return [row.get_attribute("data-row") or "" for row in self.page.locator("tr[data-row]").all()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that shows the small building, as it was when the tests began."""
    with served(write(tmp_path_factory.mktemp("site") / "telemetry.sqlite", building(time.time()))) as address:
        yield address


def test_every_page_is_served_from_this_machine_and_has_nothing_to_complain_of(browser: Browser, site: str) -> None:
    with Opened(browser) as opened:
        for path in PAGES:
            page = opened.go(site + path)
            if path != "/coordinator":
                expect(page.locator(".chart svg").first).to_be_visible(timeout=DEADLINE_S * 1000)
        foreign = {
            url for url in opened.asked if not url.startswith((site, site.replace("http", "ws"), "data:", "blob:"))
        }
        assert foreign == set()
        assert len(opened.asked) > 20
        assert opened.complaints == []


def test_the_fleet_lists_the_device_with_most_to_do_first(browser: Browser, site: str) -> None:
    with Opened(browser) as opened:
        page = opened.go(site)
        assert opened.rows() == ["room-2", "room-3", "room-1"]
        worst = page.locator("tr[data-row=room-2]")
        expect(worst).to_contain_text("Silent")
        expect(worst).to_contain_text("silent for 3 h")
        expect(worst).to_contain_text("3 h ago")
        tiles = page.locator(".tile")
        expect(tiles.nth(0)).to_contain_text("2 of 3")
        expect(tiles.nth(1)).to_contain_text("1 device")
        expect(tiles.nth(2)).to_contain_text("error 0.800 → 0.400 in the last hour")
        expect(tiles.nth(3)).to_contain_text("3.41 kB · 4 J")


def test_devices_are_found_by_need_by_name_and_by_column(browser: Browser, site: str) -> None:
    with Opened(browser) as opened:
        page = opened.go(site)
        page.get_by_role("button", name="Keep an eye on 1").click()
        expect(page.locator("tr[data-row]")).to_have_count(1)
        assert opened.rows() == ["room-3"]
        page.get_by_role("button", name="All 3").click()
        page.get_by_label("search a device").fill("room-1")
        expect(page.locator("tr[data-row]")).to_have_count(1)
        page.get_by_label("search a device").fill("attic")
        expect(page.get_by_text("No device is like that.")).to_be_visible()
        page.get_by_label("search a device").fill("")
        expect(page.locator("tr[data-row]")).to_have_count(3)
        page.get_by_role("columnheader", name="Device").click()
        expect(page.locator("tr[data-row]").first).to_have_attribute("data-row", "room-1")
        assert opened.rows() == ["room-1", "room-2", "room-3"]


def test_a_row_leads_to_the_page_of_its_device(browser: Browser, site: str) -> None:
    with Opened(browser) as opened:
        page = opened.go(site)
        page.locator("tr[data-row=room-1]").click()
        expect(page.locator(".device-told")).to_contain_text("Nothing is the matter.")
        assert page.url == f"{site}/device/room-1"
        expect(page.locator(".facts")).to_contain_text("1 merged, 1 came too late")
        expect(page.locator(".facts")).to_contain_text("20 mW (estimated)")
        page.get_by_text("← Fleet").click()
        expect(page.locator("tr[data-row]")).to_have_count(3)
        page.goto(f"{site}/device/attic")
        expect(page.get_by_text("The store knows no device of this name.")).to_be_visible()


def test_a_round_that_closes_is_seen_and_nothing_moves(browser: Browser, tmp_path: Path) -> None:
    with Written(tmp_path / "s.sqlite") as written:
        written.put(*building(time.time()))
        with served(written.path) as address, Opened(browser) as opened:
            page = opened.go(f"{address}/rounds")
            expect(page.locator(".tile").first).to_contain_text("the last one was number 6")
            expect(page.locator(".chart svg")).to_have_count(2)
            page.evaluate("window.kept = document.querySelector('.chart svg'); scrollTo(0, 150)")
            for number in (7, 8, 9):
                written.put(round_closed(number, time.time(), accepted=9, late=4), *minute(time.time()))
                last = f"the last one was number {number}"
                expect(page.locator(".tile").first).to_contain_text(last, timeout=LIVE_S * 1000)
            expect(page.locator("tr[data-row]").first).to_contain_text("9 (enough: 2)")
            expect(page.locator("tr[data-row]").first).to_contain_text("4 came too late")
            expect(page.locator(".alive")).to_contain_text("round closed just now")
            assert page.evaluate("[kept.isConnected, scrollY]") == [True, 150]
            assert opened.complaints == []


def test_a_device_that_falls_silent_comes_to_the_top(browser: Browser, tmp_path: Path) -> None:
    with Written(tmp_path / "s.sqlite") as written:
        now_s = time.time()
        written.put(*minute(now_s), *(status(f"room-{number}", "ready", now_s) for number in (1, 2, 3)))
        with served(written.path) as address, Opened(browser) as opened:
            page = opened.go(address)
            assert opened.rows() == ["room-1", "room-2", "room-3"]
            expect(page.locator(".tile").first).to_contain_text("All 3")
            told = {"trouble": "silent", "trouble_code": 2, "heard_s": int(now_s) - 900}
            written.put(status("room-3", "silent", time.time(), **told))
            expect(page.locator("tr[data-row]").first).to_have_attribute("data-row", "room-3", timeout=LIVE_S * 1000)
            expect(page.locator("tr[data-row]").first).to_contain_text("silent for 15 min")
            expect(page.locator(".tile").first).to_contain_text("2 of 3")
            expect(page.locator(".tile").nth(1)).to_contain_text("1 device")


@pytest.mark.parametrize("width", [390, 320])
def test_no_page_is_wider_than_a_phone(browser: Browser, site: str, width: int) -> None:
    with Opened(browser, width) as opened:
        for path in PAGES:
            page = opened.go(site + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            expect(page.locator("nav a").last).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(245, 246, 248)"), ("dark", "rgb(15, 19, 23)")])
def test_the_page_is_light_or_dark_as_the_browser_likes_it(
    browser: Browser, site: str, scheme: str, ground: str
) -> None:
    with Opened(browser, scheme=scheme) as opened:
        page = opened.go(site)
        expect(page.locator("body")).to_have_css("background-color", ground)


def test_a_store_with_nothing_in_it_yet_is_explained(browser: Browser, tmp_path: Path) -> None:
    with Written(tmp_path / "s.sqlite") as written, served(written.path) as address, Opened(browser) as opened:
        for path, words in (
            ("/", "No device has been heard of yet. Start one with: tegu agent"),
            ("/rounds", "No round has closed yet."),
            ("/learning", "No device has told its adaptation curve yet."),
            ("/bytes", "No device has told its bytes yet."),
            ("/energy", "No device has told its energy yet."),
        ):
            page = opened.go(address + path)
            expect(page.get_by_text(words).first).to_be_visible()
        expect(page.locator(".alive")).to_have_text("waiting")
        page.goto(f"{address}/coordinator")
        expect(page.get_by_text("The coordinator has told nothing of itself yet.").first).to_be_visible()
        assert opened.complaints == []


def test_a_coordinator_that_has_stopped_is_said_so(browser: Browser, tmp_path: Path) -> None:
    with served(write(tmp_path / "s.sqlite", building(time.time() - 7300))) as address, Opened(browser) as opened:
        page = opened.go(address)
        expect(page.get_by_role("status")).to_contain_text(
            "Nothing was written for 2 h: the coordinator or its monitor is not running"
        )
        expect(page.locator(".alive")).to_have_text("stopped 2 h ago")
        assert opened.rows() == ["room-2", "room-3", "room-1"]


def test_a_store_that_breaks_or_goes_is_told_and_its_return_is_seen(browser: Browser, tmp_path: Path) -> None:
    path = write(tmp_path / "s.sqlite", building(time.time()))
    whole = path.read_bytes()
    with served(path) as address, Opened(browser) as opened:
        page = opened.go(address)
        path.write_bytes(b"no database " * 1000)
        expect(page.get_by_role("status")).to_contain_text(
            "is no store of Tegu, or it is damaged", timeout=LIVE_S * 1000
        )
        path.unlink()
        expect(page.get_by_role("status")).to_contain_text("There is no store", timeout=LIVE_S * 1000)
        assert opened.rows() == ["room-2", "room-3", "room-1"]  # what was known stays
        path.write_bytes(whole)
        expect(page.locator(".alive")).to_contain_text("round closed", timeout=LIVE_S * 1000)
        expect(page.locator(".banner")).to_have_count(0)


def test_what_a_device_says_is_text_and_never_markup(browser: Browser, tmp_path: Path) -> None:
    now_s, evil = time.time(), "<img src=x onerror=alert(1)>"
    refused = status("room-1", "refused", now_s, trouble=f"the model does not fit: {evil}", trouble_code=2)
    event = point("event", ("presence", "trouble"), now_s, text=f"room-1: {evil}", version=1)
    with served(write(tmp_path / "s.sqlite", [*minute(now_s), refused, event])) as address, Opened(browser) as opened:
        for path in ("/", "/coordinator", "/device/room-1"):
            page = opened.go(address + path)
            expect(page.get_by_text(evil).first).to_be_visible()
            assert page.locator("img").count() == 0
        assert opened.complaints == []


def test_a_foreign_host_name_is_refused_unless_it_was_named(site: str, tmp_path: Path) -> None:
    def answer(address: str, host: str) -> int:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, headers={"Host": host}), timeout=DEADLINE_S
            ) as told:
                return int(told.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert [answer(site, host) for host in ("127.0.0.1", "localhost", "evil.example")] == [200, 200, 400]
    with served(write(tmp_path / "s.sqlite", []), "--name", "building.example") as address:
        assert [answer(address, host) for host in ("building.example", "evil.example")] == [200, 400]


def test_a_port_that_is_taken_is_told(site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "s.sqlite", [])
    assert run([str(path), "--no-browser", "--port", site.rpartition(":")[2]]) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err
