"""Goals out of play: what they ask for, and when they count as reached."""

import numpy as np
import pytest

from presage.errors import UserError
from presage.systems.lab.goals import HAND_MOVED, STILL, THING_MOVED, Goal, Played, attempt, goals_in, play, strangers
from presage.systems.lab.starts import Start
from presage.worlds.vector import VectorWorld


def walk(hand: list[float], thing: list[float]) -> Played:
    """An episode in which hand and object move along x, in centimetres."""
    rows = len(hand)
    place = np.zeros((rows, 3), np.float32)
    states, things = np.zeros((rows, 4), np.float32), place.copy()
    states[:, 0], things[:, 0] = np.array(hand) / 100, np.array(thing) / 100
    pictures = np.arange(rows, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Played(
        "push-v3", pictures, states, things, np.zeros((rows, 4, 4), np.float32), [bytes([i]) for i in range(rows)]
    )


def goals(played: Played, ahead: tuple[int, int]) -> dict[bool, Goal]:
    found = goals_in(played, ahead, HAND_MOVED, THING_MOVED, np.random.default_rng(0))
    return {goal.moved: goal for goal in found}


def test_a_hand_goal_moves_the_hand_alone_and_an_object_goal_the_object() -> None:
    both = goals(walk([0, 0, 4, 8, 12, 16, 20], [0, 0, 0, 0, 4, 8, 12]), (2, 2))
    assert both[False].picture.item() == 3 and both[False].start.item() == 1  # later the object moves too
    assert both[True].thing[0] - 0.045 > both[True].start.item() * 0 and both[True].picture.item() in (5, 6)
    assert goals(walk([0, 0, 4, 8], [0, 0, 1, 2]), (2, 2)) == {}
    assert STILL < THING_MOVED


def test_a_goal_knows_the_row_before_its_start() -> None:
    played = walk([0, 0, 4, 8], [0, 0, 0, 0])
    goal = goals(played, (2, 2))[False]
    assert goal.before["picture"].item() == goal.start.item() - 1 == 0
    assert goal.before["action"].shape == goal.path[0].shape


def test_a_goal_is_as_far_ahead_as_asked() -> None:
    for k in (1, 3):
        found = goals(walk([0, 10, 20, 30, 40, 50], [0] * 6), (k, k))[False]
        assert len(found.path) == k == found.picture.item() - found.start.item()
        assert found.snapshot == bytes([found.start.item()])


def test_the_control_is_shown_another_episode_of_the_same_kind() -> None:
    here = [goals(walk([10 * i, 10 * i, 10 * i + 9], [0, 0, 0]), (1, 1))[False] for i in range(3)]
    pictures = [np.full(1, i) for i in range(3)]
    named = [Goal(t, bytes([i]), g.start, g.state, p, g.path, g.hand, g.thing, False, g.before)
             for i, (g, p, t) in enumerate(zip(here, pictures, ("push-v3", "door-open-v3", "push-v3")))]  # fmt: skip
    assert [int(p[0]) for p in strangers(named)] == [2, 2, 0]


class Replay:
    """Does what play did."""

    def __init__(self, path: np.ndarray) -> None:
        self.path, self.step = path, 0

    def reset(self, instructions: list[str]) -> None:
        self.step = 0

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.step += 1
        return self.path[self.step - 1][None]


def test_what_play_did_reaches_its_goal_and_standing_still_does_not() -> None:
    played = play(Start("push-v3", 400_003, False), "front", 16, rows=12)
    found = goals_in(played, (3, 5), 0.06, 0.02, np.random.default_rng(0))
    world = VectorWorld(["push-v3"], 1, ("front",), 16)
    assert found
    for goal in found:
        shown: list[np.ndarray] = []
        moved = attempt(Replay(goal.path), shown.append, goal, world, len(goal.path), goal.picture)
        assert moved.reached and moved.missed < 1e-3 and shown[0] is goal.picture
        still = attempt(Replay(0 * goal.path), shown.append, goal, world, len(goal.path), goal.picture)
        assert still.missed > moved.missed and (goal.moved or not still.reached)
    world.close()


def test_too_little_play_is_said() -> None:
    from presage.systems.lab.goals import choose_goals

    with pytest.raises(UserError, match="play holds 0 goals of 2"):
        choose_goals([], 2, "front", 16)
