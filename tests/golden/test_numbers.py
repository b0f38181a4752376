"""Changes of the code leave the shipped model's numbers as they are: losses, imaginations, forks, joins and dreams."""

import json

import pytest

from tests.golden.numbers import FILE, numbers

TOLERANCE = 1e-4
"""Of fp32 on other processors, which add up in another order; forty layers and eight dreamed steps deep."""


def test_the_shipped_model_gives_its_golden_numbers() -> None:
    golden, found = json.loads(FILE.read_text()), numbers()
    assert set(found) == set(golden)
    assert [name for name in golden if not same(name, found[name], golden[name])] == []


def same(name: str, mine: list[float], others: list[float]) -> bool:
    if "/image." in name:  # whole grey levels, which the smallest difference can turn over
        return mine == pytest.approx(others, abs=1)
    return mine == pytest.approx(others, abs=TOLERANCE, rel=TOLERANCE)
