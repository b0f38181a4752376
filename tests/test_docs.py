"""The documentation builds without a warning, its links lead somewhere, and its pages load nothing from elsewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser import open_page, serious_findings

ROOT = Path(__file__).parents[1]
LOADS = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("material", reason="mkdocs-material is missing: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Page(HTMLParser):
    """What a page offers (anchors), links to, and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {x for x in (given.get("id"), given.get("name")) if x}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        source = given.get(LOADS.get(tag, ""))
        if source and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(source)


def test_links_lead_somewhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 25
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links count from the root of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            found = target.exists() and (
                not parts.fragment or unquote(parts.fragment) in pages[target].anchors | {"__top"}
            )
            if not found:
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        outside = [x for x in Page(path).loads if urlsplit(x).scheme not in ("", "data") or x.startswith("//")]
        assert outside == [], path.name


def test_readme_links_lead_somewhere() -> None:
    import re

    for name in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text()):
            assert link.startswith("http") or (ROOT / link).exists(), f"{name}: {link}"


def test_figures_are_those_of_the_script() -> None:
    script = ROOT / "scripts" / "draw_docs.py"
    names: dict[str, object] = {"__name__": "draw_docs", "__file__": str(script)}
    exec(compile(script.read_text(), str(script), "exec"), names)
    for path, figure in names["all_figures"]().items():  # type: ignore[operator]
        assert path.read_text() == figure, f"{path.name} is out of date: python scripts/draw_docs.py"


@pytest.mark.parametrize("name", ["index.html", "concepts.html", "lies.html", "api/timeline.html"])
def test_pages_in_a_browser(site: Path, name: str) -> None:
    for scheme in ("light", "dark"):
        viewport = {"width": 390, "height": 844}
        with open_page(site / name, viewport=viewport, color_scheme=scheme) as (page, asked):
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            findings = serious_findings(page, ".md-content")  # what is around it is the theme's
        assert [a for a in asked if not a.startswith("file:")] == []
        # Wide tables and figures scroll; browsers focus them by keyboard, which axe does not know.
        assert [f for f in findings if not f.startswith("scrollable-region-focusable")] == []
