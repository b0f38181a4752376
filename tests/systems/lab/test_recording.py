"""Episodes of the lab: starts that are never far, demonstrations that succeed, and where the object was."""

import numpy as np
import pytest

from presage.errors import UserError
from presage.systems.lab import recording as module
from presage.systems.lab.recording import OBJECT, TRIES, Job, Recording, plan, record
from presage.systems.lab.starts import is_far
from presage.worlds.collect import simulation_of

SMALL = {"cameras": ("front",), "size": 16, "supersample": 1}
EXPERT = Recording(("drawer-close-v3", "reach-v3"), "expert", 2, 900, **SMALL)
PLAY = Recording(("drawer-close-v3",), "play", 1, 904, **SMALL)


def test_tasks_take_turns_and_each_episode_has_seeds_of_its_own() -> None:
    jobs = plan(EXPERT)
    assert [job.task for job in jobs] == ["drawer-close-v3", "reach-v3"] * 2
    assert np.diff([job.seed for job in jobs]).tolist() == [TRIES] * 3
    assert jobs[0].seed == 600_000 + 900 * 1_000_000
    assert len({job.key for job in jobs}) == 4


def test_a_demonstration_begins_near_succeeds_and_tells_where_the_object_was() -> None:
    far = []
    for job in plan(Recording(("drawer-close-v3",), "expert", 8, 900, **SMALL)):
        simulation_of(job.task).reset(job.seed)
        far.append(is_far(simulation_of(job.task)))
        episode = record(EXPERT, job)
        simulation_of(job.task).reset(int(episode.info["seed"]))
        assert not is_far(simulation_of(job.task))
        assert episode.info["success"] and (episode.info["seed"] != job.seed) == far[-1]
        place = episode.columns[OBJECT]
        assert place.shape == (episode.length, 3) and place.dtype == np.float32
        assert place[-1, 1] - place[0, 1] > 0.05  # the drawer was shut
    assert any(far) and not all(far)


def test_play_is_nobodys_example_and_has_no_instruction() -> None:
    episode, again = (record(PLAY, plan(PLAY)[0]) for _ in range(2))
    assert episode.length == 60 and episode.instruction == "" and episode.info["behaviour"] == "play"
    assert not episode.columns["quality"].any() and episode.columns["action.valid"][:-1].all()
    assert all(np.array_equal(episode.columns[name], again.columns[name]) for name in episode.columns)


def test_an_expert_that_never_succeeds_is_told(monkeypatch) -> None:
    monkeypatch.setattr(module, "TRIES", 1)
    monkeypatch.setattr(module, "is_far", lambda simulation: True)
    with pytest.raises(UserError, match="no episode succeeded"):
        record(EXPERT, Job("drawer-close-v3", 0, 600_000))


def test_push_t_is_demonstrated_and_played_and_its_block_is_told() -> None:
    recording = Recording(("pusht",), "expert", 1, 906, ("top",), 16, 1)
    episode = record(recording, plan(recording)[0])
    assert episode.info["success"] and np.abs(episode.columns[OBJECT][-1, :2] - 256).max() < 40  # on its outline
    played = record(Recording(("pusht",), "play", 1, 907, ("top",), 16, 1), plan(recording)[0])
    assert played.length == 60 and np.ptp(played.columns[OBJECT], 0).max() > 1
