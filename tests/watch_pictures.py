"""Pictures of `tegu watch` for the documentation: python -m tests.watch_pictures STORE OUT [DEVICE]

Six files, watch-{fleet,device,learning,bytes,energy,phone}.png: pages as a visitor with a wide screen sees them, and the first
page and a device's page on a phone, light and dark. DEVICE: the one to show; else the one with most to do.
"""

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from .watching import DEADLINE_S, served

WIDE, PHONE = (1400, 900), (390, 844)
TALL = {"device": 1250, "learning": 1010}  # where a little more shows a whole row of charts
COLOURS = 128
MOST_BYTES = 300_000
SETTLED = "document.querySelectorAll('.chart-place:not(.hidden) .chart').length === document.querySelectorAll('.chart svg').length"
FILLED = ".tile-value:not(:empty), .device-told:not(:empty)"


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser("python -m tests.watch_pictures", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("device", nargs="?", default="")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    with served(told.store) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        device = f"/device/{told.device or _worst(browser, address)}"
        for name, path in (
            ("fleet", "/"),
            ("device", device),
            ("learning", "/learning"),
            ("bytes", "/bytes"),
            ("energy", "/energy"),
        ):
            size = (WIDE[0], TALL.get(name, WIDE[1]))
            _save(_taken(browser, address + path, size, "light"), told.out / f"watch-{name}.png")
        light, dark = _taken(browser, address, PHONE, "light", 2), _taken(browser, address + device, PHONE, "dark", 2)
        _save(_beside(light, dark), told.out / "watch-phone.png")
        browser.close()


def _worst(browser: Browser, address: str) -> str:
    page = browser.new_page()
    page.goto(address)
    name = page.wait_for_selector("tr[data-row]", timeout=DEADLINE_S * 1000)
    found = name.get_attribute("data-row") if name is not None else None
    page.close()
    return found or ""


def _taken(browser: Browser, address: str, size: tuple[int, int], scheme: str, scale: int = 1) -> Image.Image:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, device_scale_factor=scale
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(FILLED, timeout=DEADLINE_S * 1000)
    page.wait_for_function(SETTLED, timeout=DEADLINE_S * 1000)
    page.evaluate("document.fonts.ready")
    made = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return made


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    space = left.width // 20
    made = Image.new("RGB", (left.width + space + right.width, left.height), "white")
    made.paste(left, (0, 0))
    made.paste(right, (left.width + space, 0))
    return made


def _save(image: Image.Image, path: Path) -> None:
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} is {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")


if __name__ == "__main__":
    main()
