"""A finished check in words, as a page, and as its part of the documentation."""

from html.parser import HTMLParser

import pytest
from tests.systems.example import make_result

from presage.interface.pages.page import document
from presage.systems.lab import report
from presage.systems.lab.check import VERDICTS, save
from presage.systems.lab.report import page, systems_page, text
from presage.systems.table import ROWS

EVERYTHING = (
    *("UWM", "shown", "with video", "without", "0.10", "sees the frame", "above 0.33", "action error"),
    *("600", "1,800,000", "7,403", "2,000", "verdict block 2", "2 verdicts of this system came before", "0 1 2"),
    *("presage systems check uwm", "cores 2", "25.0"),
)


@pytest.mark.parametrize("shown", [text, lambda result: page(result, document)])
def test_nothing_is_left_out(shown) -> None:
    said = shown(make_result())
    assert [part for part in EVERYTHING if part not in said] == []


def test_a_quick_run_says_that_it_is_no_evidence() -> None:
    assert "worth nothing as evidence" in text(make_result(quick=True)).splitlines()[0]


def test_the_page_is_whole_and_escapes_what_it_is_told() -> None:
    said = page(make_result(), document)
    parser = HTMLParser()
    parser.feed(said)
    assert said.startswith("<!doctype html>") and "<svg" in said
    assert "A &lt;note&gt;." in said and "<note>" not in said


def test_the_documentation_has_every_system_and_a_section_for_each_verdict(tmp_path) -> None:
    save(tmp_path / "uwm.json", make_result())
    said = systems_page(tmp_path)
    assert all(f"| {row.number} | {row.title}" in said for row in ROWS)
    assert said.count(" | - | - | - | - |\n") == 35
    assert "| success 0." in said and "| without 0." in said and "| [shown](#uwm) | 25 |\n" in said
    assert "[2504.02792](https://arxiv.org/abs/2504.02792)" in said
    section = said[said.index("## UWM") :]
    assert "**shown**" in section and "`presage systems check uwm`" in section and "block 2" in section


def test_the_documentation_is_that_of_the_committed_verdicts() -> None:
    assert report.DOCS.read_text() == systems_page(VERDICTS), "run: python -m presage.systems.lab.report"
