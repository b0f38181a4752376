"""Pages as a browser shows them: nothing is fetched, nobody is shut out, films keep time with each other."""

from pathlib import Path

import pytest
from tests.browser import open_page, serious_findings
from tests.interface.pages.test_page import page as demo_page  # noqa: F401  (a fixture)
from tests.interface.pages.test_report import report  # noqa: F401  (a fixture)

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def files(report: str, demo_page: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:  # noqa: F811
    """The report, and a demo's page."""
    folder = tmp_path_factory.mktemp("pages")
    for name, text in (("report", report), ("demo", demo_page)):
        (folder / f"{name}.html").write_text(text)
    return [folder / "report.html", folder / "demo.html"]


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", [0, 1], ids=["report", "demo"])
def test_no_request_no_overflow_no_serious_finding(files: list[Path], which: int, scheme: str, viewport: dict) -> None:
    with open_page(files[which], viewport=viewport, color_scheme=scheme) as (page, asked):
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert serious_findings(page) == []
    assert asked == []


def test_one_scrubber_moves_all_films_of_an_episode(files: list[Path]) -> None:
    with open_page(files[0], viewport=DESKTOP) as (page, asked):
        player = page.locator(".player").first
        films = player.locator("video")
        assert films.count() == 4  # two runs, real and imagined
        ready = "films => films.every(f => f.readyState >= 2 && !f.seeking)"
        page.wait_for_function(f"({ready})([...document.querySelectorAll('video')])")
        assert not films.first.evaluate("film => film.controls")
        player.locator("input").fill("2")
        page.wait_for_function(f"({ready})([...document.querySelectorAll('video')])")
        times = [films.nth(i).evaluate("film => film.currentTime") for i in range(4)]
        assert times == pytest.approx([2.5 / 5] * 4, abs=0.05)  # the middle of frame 2 at 5 frames a second
        assert player.locator("output").inner_text() == "0.4 of 0.6 s"
        player.locator("button").click()
        page.wait_for_function("document.querySelector('.player output').textContent.startsWith('0.6')")
        assert player.locator("button").inner_text() == "Play"  # it has stopped at the end
        other = page.locator(".player").nth(1)
        assert other.locator("output").inner_text().startswith("0.0 of")
    assert asked == []


def test_episodes_are_filtered(files: list[Path]) -> None:
    with open_page(files[0], viewport=PHONE) as (page, asked):
        count = page.locator(".filter output")
        assert count.inner_text() == "6 of 6 episodes shown"
        page.locator(".filter select").nth(0).select_option("push-v3")
        assert count.inner_text() == "3 of 6 episodes shown"
        assert page.locator(".episode:visible").count() == 3
        page.locator(".filter select").nth(1).select_option(label="reached by all")
        assert count.inner_text() == "0 of 6 episodes shown"
    assert asked == []


def test_it_can_be_read_without_scripts(files: list[Path]) -> None:
    with open_page(files[0], viewport=PHONE, java_script_enabled=False) as (page, _asked):
        assert page.locator(".time:visible").count() == 0 and page.locator(".filter:visible").count() == 0
        assert page.locator("video[controls]").count() == page.locator("video").count() == 6
