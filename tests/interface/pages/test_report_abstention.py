"""A report says where imagination cannot tell."""

from pathlib import Path

import html5lib

from presage.interface.pages.report_abstention import abstention
from presage.interface.pages.report_page import render
from presage.results.output import write_json
from presage.results.record import describe_run
from presage.results.runs import read_runs

FIGURES = {
    "abstention_answered/50": 0.5,
    "abstention_accuracy/50": 0.95,
    "abstention_kappa/50": float("nan"),
    "abstention_answered/100": 1.0,
    "abstention_accuracy/100": 0.7,
    "abstention_kappa/100": 0.4,
    "verdict/random - joint": "worse",
    "difference/random - joint": -0.5,
    "difference/random - joint_low": -0.7,
    "difference/random - joint_high": -0.2,
    "pairs/random - joint": 14,
    "verdict/bc - joint": "cannot tell",
    "difference/bc - joint": float("nan"),
    "difference/bc - joint_low": float("nan"),
    "difference/bc - joint_high": float("nan"),
    "pairs/bc - joint": 0,
}


def test_the_curve_and_every_pair_are_on_the_page(tmp_path: Path) -> None:
    write_json(tmp_path / "ranked.json", describe_run(0, FIGURES))
    runs = read_runs([tmp_path / "ranked.json"])
    page = render(runs).text
    html5lib.HTMLParser(strict=True).parse(page)
    assert "Where imagination cannot tell" in page and "from 0.95 at 50 to 0.7 at 100" in page
    assert "-50 % [-70, -20]" in page and ">14<" in page and ">cannot tell<" in page
    assert abstention(runs).count("<tr>") == 3  # the head and two pairs


def test_a_result_that_always_answers_has_no_such_section(tmp_path: Path) -> None:
    write_json(tmp_path / "act.json", describe_run(0, {"success": 0.5}))
    assert abstention(read_runs([tmp_path / "act.json"])) == ""
