"""Play in Push-T: the block is pushed from all sides, and everything follows from the seed."""

import numpy as np

from presage.worlds.pusht import Simulation
from presage.worlds.pusht_play import MANOEUVRES, Player, begin
from presage.worlds.pusht_shape import ARENA


def play(seed: int, steps: int, branch: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Actions (steps, 2), and the block after each (steps, 3)."""
    simulation = Simulation("pusht")
    simulation.reset(seed)
    player = begin(simulation, seed, branch)
    actions, blocks = [], []
    for _ in range(steps):
        actions.append(player.action())
        simulation.step(actions[-1])
        blocks.append(simulation.block[:3])
    return np.stack(actions), np.stack(blocks)


def test_the_same_seed_plays_the_same_and_another_differs() -> None:
    one, again, other = (play(seed, 60)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert one.dtype == np.float32 and np.abs(one).max() <= 1


def test_the_block_goes_all_ways_and_turns_both() -> None:
    ways = np.array([blocks[-1] - blocks[0] for _, blocks in (play(seed, 80) for seed in range(8))])
    assert (ways > [15, 15, 0.1]).any(0).all() and (ways < [-15, -15, -0.1]).any(0).all()


def test_nothing_is_left_where_the_block_is_outside() -> None:
    simulation = Simulation("pusht")
    simulation.reset(0)
    player = Player(simulation, 0)
    assert not player.lost
    simulation.block[0] = ARENA + 1
    assert player.lost


def test_every_manoeuvre_but_the_expert_names_places() -> None:
    simulation = Simulation("pusht")
    simulation.reset(0)
    player = Player(simulation, 0)
    for name in (name for name in MANOEUVRES if name != "expert"):
        places = np.array(getattr(player, f"_{name}")())
        assert places.ndim == 2 and places.shape[1] == 2 and np.isfinite(places).all()
