"""A browser for tests of pages: Playwright driving the system's Chromium, offline."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def open_page(address: Path | str, **context: Any) -> Iterator[tuple[Any, list[str]]]:
    """(page, addresses it asked for besides itself and data: ones). Skips the test where no browser is."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    address = address if isinstance(address, str) else address.resolve().as_uri()
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # A page's own policy would keep axe and the test out; what it asks for is seen all the same.
        page = browser.new_context(bypass_csp=True, **context).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: asked.append(f"error: {error}"))
        page.goto(address)
        yield page, asked
        asked[:] = [a for a in asked if a.split("#")[0] != address.split("#")[0] and not a.startswith("data:")]
        browser.close()


def serious_findings(page: Any, within: str = "body") -> list[str]:
    """What axe-core finds serious or critical in the open page, or in the part of it that a selector names."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: pip install -e '.[dev]'")
    found = axe.Axe().run(page, within).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
