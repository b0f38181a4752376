"""Two systems side by side: nothing is left out, and what does not compare says so."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.systems.example import make_result

from presage.errors import UserError
from presage.interface.pages.page import document
from presage.systems.lab import comparison
from presage.systems.lab.check import VERDICTS, save
from presage.systems.lab.comparison import caution, checked, page, table, text
from presage.systems.table import ROWS, find

UWM = (find("uwm"), make_result())
PAD = (find("pad"), make_result(0.5, "pad"))
UNKNOWN = (find("dva"), None)


def test_each_thing_is_said_of_both() -> None:
    head, *rows = table(UWM, PAD)
    assert list(head) == ["", "UWM (24)", "PAD (18)"]
    said = {name: (one, other) for name, one, other in rows}
    assert said["use"] == ("2.1 joint", "2.1 joint") and said["claim"] == (find("uwm").claim, find("pad").claim)
    assert said["hardest control"][0].startswith("without: 0.") and said["system"][0].startswith("with video: 0.")
    assert said["difference"][0].endswith("margin +0.10") and said["difference"][0] != said["difference"][1]
    assert said["verdict"][0] == "shown" and said["sanity lines"] == ("1 of 1 hold", "1 of 1 hold")
    assert said["judged on"][0] == "3 training seeds x 50 starts, verdict block 2"
    assert said["check"][0] == "25 min, 2 arms" and "1,800,000 parameters" in said["its arm"][0]


def test_what_was_not_checked_has_its_claim_and_no_figure() -> None:
    said = {name: (one, other) for name, one, other in table(UWM, UNKNOWN)[1:]}
    assert said["verdict"] == ("shown", "no recipe yet") and said["difference"][1] == "-"
    assert said["claim"][1] == find("dva").claim and caution(UWM, UNKNOWN) == ""
    assert "not checked yet" in text((find("uwm"), None), UNKNOWN)


def test_a_quick_result_and_one_without_a_verdict_are_no_evidence() -> None:
    quick, part = (find("uwm"), make_result(quick=True)), (find("pad"), replace(make_result(name="pad"), verdict=None))
    said = {name: (one, other) for name, one, other in table(quick, part)[1:]}
    assert said["verdict"] == ("quick, worth nothing: shown", "none: not all arms were run")


def test_rates_on_other_starts_and_other_figures_are_not_compared() -> None:
    assert caution(UWM, PAD).startswith("Each was judged on starts of its own")
    assert caution(UWM, (PAD[0], replace(PAD[1], figure="coverage"))).startswith("success and coverage are different")


def test_a_terminal_is_wide_enough_and_a_page_is_whole() -> None:
    lines = text(UWM, PAD).splitlines()
    assert max(map(len, lines)) <= 130 and "UWM (24)" in lines[0] and caution(UWM, PAD) in lines
    said = page(UWM, PAD, document)
    HTMLParser().feed(said)
    assert said.startswith("<!doctype html>") and said.count("<circle") == 2 and "UWM - without" in said
    assert "presage systems check uwm" in said and "presage systems check pad" in said
    assert "<svg" not in page(UNKNOWN, UNKNOWN, document)


@pytest.mark.parametrize("row", [row for row in ROWS if (VERDICTS / f"{row.name}.json").exists()], ids=lambda r: r.name)
def test_every_committed_verdict_can_be_compared(row) -> None:
    said = {name: one for name, one, _ in table(checked(row), PAD)[1:]}
    assert said["verdict"] != "-" and "nan" not in " ".join(said.values())
    assert page(checked(row), UWM, document).count("<circle") > 1


def test_a_committed_result_comes_before_one_of_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(find("dva"), tmp_path)[1] is None
    save(tmp_path / "dva" / "check.json", make_result(name="dva"))
    assert checked(find("dva"), tmp_path)[1] == make_result(name="dva")
    monkeypatch.setattr(comparison, "published", lambda row: make_result(0.5, name="dva"))
    assert checked(find("dva"), tmp_path)[1] == make_result(0.5, name="dva")
    monkeypatch.setattr(comparison, "published", lambda row: None)
    (tmp_path / "dva" / "check.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        checked(find("dva"), tmp_path)
