"""Make docs/images/play.png: the page of `presage play`, driven for a few seconds in Chromium, on an idle machine."""

import tempfile
from pathlib import Path

from PIL import Image

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.play import opened, playing, wait
from presage.device import default_device
from presage.systems.shipped import default_checkpoint

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "play.png"
SIZE = {"width": 1280, "height": 980}


def main() -> None:
    args = BenchArgs(default_checkpoint(), seed=3, episodes=None, device=default_device(), quick=True)
    with tempfile.TemporaryDirectory() as out, playing(args, Path(out)) as server:
        with opened(server.url, viewport=SIZE) as page:
            page.locator("#show-difference").check()
            page.locator("#show-spread").check()
            steer(page, "ArrowLeft", 4)
            page.keyboard.press("Backspace")
            wait(page, "!window.presage.state.running")
            page.keyboard.press("KeyO")
            wait(page, "window.presage.strip.at >= 14")
            page.keyboard.press("KeyP")
            wait(page, "!window.presage.state.running")
            page.wait_for_timeout(1000)
            page.screenshot(path=PICTURE)
    with Image.open(PICTURE) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


def steer(page, key: str, steps: int) -> None:
    page.keyboard.down(key)
    wait(page, f"window.presage.strip.at >= {steps}")
    page.keyboard.up(key)


if __name__ == "__main__":
    main()
