"""Rates of results."""

from presage.results.tables import success_figures


def test_success_has_bounds() -> None:
    figures = success_figures("s", [True] * 17 + [False] * 3)
    assert figures["s"] == 0.85 and figures["s_low"] < 0.7 < 0.9 < figures["s_high"]
