"""Start seeds: three kinds that never meet, verdict blocks that are used once, and half of the starts far."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from presage.errors import UserError
from presage.systems.lab.starts import (
    SEEDS_PER_BLOCK,
    TUNING_BLOCKS,
    VERDICT_BLOCKS,
    Block,
    choose_starts,
    is_far,
    ledger_file,
    near_seeds,
    take_verdict_block,
    tuning_block,
    used_blocks,
)
from presage.worlds.metaworld import Simulation
from presage.worlds.seeds import FIRST_CALIBRATION_SEED


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_blocks_do_not_meet_and_lie_below_calibration_and_training() -> None:
    blocks = [Block("tuning", n) for n in range(TUNING_BLOCKS)] + [Block("verdict", n) for n in range(VERDICT_BLOCKS)]
    firsts = [block.first for block in blocks]
    assert np.diff(firsts).tolist() == [SEEDS_PER_BLOCK] * (len(blocks) - 1)
    assert firsts[-1] + SEEDS_PER_BLOCK <= FIRST_CALIBRATION_SEED
    with pytest.raises(ValueError):
        tuning_block(TUNING_BLOCKS)


def test_a_verdict_block_is_used_once_and_counted_for_each_system() -> None:
    assert used_blocks("uwm") == 0
    assert [take_verdict_block("uwm").number for _ in range(3)] == [0, 1, 2]
    assert take_verdict_block("pad").number == 0 and used_blocks("uwm") == 3
    assert take_verdict_block("uwm", at_least=7).number == 7 and take_verdict_block("uwm").number == 8


def test_two_checks_at_once_get_different_blocks() -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: take_verdict_block("uwm").number, range(20)))
    assert sorted(numbers) == list(range(20))


def test_no_block_is_used_again_when_all_are() -> None:
    with pytest.raises(UserError, match="its verdict stands"):
        take_verdict_block("uwm", at_least=VERDICT_BLOCKS)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"uwm": "3"}), json.dumps({"uwm": -1})])
def test_a_damaged_ledger_is_not_taken_for_an_empty_one(content: str) -> None:
    ledger_file().parent.mkdir(parents=True)
    ledger_file().write_text(content)
    with pytest.raises(UserError, match="count of verdicts is lost"):
        take_verdict_block("uwm")


def test_every_second_start_of_a_task_is_far() -> None:
    tasks = ["push-v3", "drawer-open-v3"]
    starts = choose_starts(tuning_block(), tasks, 12)
    assert [start.task for start in starts] == tasks * 6
    assert [start.far for start in starts] == [False, False, True, True] * 3
    assert len({(start.task, start.seed) for start in starts}) == 12
    assert starts == choose_starts(tuning_block(), tasks, 12)
    assert starts[:4] == choose_starts(tuning_block(), tasks, 4)
    simulation = Simulation("push-v3")
    for start in starts[::2]:  # the puck: across the table, the box reaches from -10 to 10 cm
        simulation.reset(start.seed)
        assert is_far(simulation) == start.far == (simulation.observation[4] > 0.05)


def test_seeds_of_rollouts_are_near_and_used_once() -> None:
    tasks = ["drawer-open-v3", "push-v3"] * 6
    seeds = near_seeds(tasks, FIRST_CALIBRATION_SEED)
    assert len(set(seeds)) == len(tasks) and seeds == sorted(seeds) and seeds[-1] > FIRST_CALIBRATION_SEED + 11
    for task, seed in zip(tasks, seeds, strict=True):
        simulation = Simulation(task)
        simulation.reset(seed)
        assert not is_far(simulation)


def test_a_world_without_start_boxes_has_no_far_starts() -> None:
    assert [start.far for start in choose_starts(tuning_block(), ["pusht"], 3)] == [False] * 3


def test_a_block_gives_no_more_starts_than_it_has(monkeypatch) -> None:
    monkeypatch.setattr("presage.systems.lab.starts.SEEDS_PER_BLOCK", 5)
    with pytest.raises(UserError, match="fewer starts than asked for"):
        choose_starts(tuning_block(), ["push-v3"], 12)
