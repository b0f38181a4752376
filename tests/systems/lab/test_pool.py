"""The pool of policies, as a debug twin, and what policies did as data."""

from pathlib import Path

import numpy as np
import pytest

from presage.systems.lab.pool import Noisy, Still, pool, true_success
from presage.systems.lab.rolled import rolled
from presage.systems.lab.starts import Start


def test_episodes_of_a_policy_are_data_and_nobodys_example() -> None:
    done = rolled(Still(4, 2), ["pusht", "pusht"], [1, 2], ("top",), max_steps=3)
    data = done.recorded
    assert data.length.tolist() == [4, 4] and not done.success.any() and len(done.snapshots) == 2
    assert data.labelled.tolist() == [True, True, True, False] * 2 and not data.quality.any()
    assert data.frames["image.top"].shape == (8, 64, 64, 3) and data.action.shape == (8, 4, 2)
    assert len(data.text) == 1 and data.task == ["pusht", "pusht"]


def test_some_members_are_trivial_and_all_act_alike_the_next_time(tmp_path: Path) -> None:
    members = pool(True, tmp_path)
    assert [m.trivial for m in members] == [False, False, True, True, True, True]
    seen = {"image.front": np.zeros((2, 64, 64, 3), np.uint8), "state": np.zeros((2, 4), np.float32)}
    seen |= {"image.top": seen["image.front"], "episode": np.array([7, 8])}
    chunks = []
    for member in (*members, *members):
        policy = member.make()
        policy.reset(["push the puck"] * 2)
        chunks.append(policy.act(seen))
    assert all(np.array_equal(a, b) for a, b in zip(chunks, chunks[len(members) :]))
    assert not chunks[5].any() and not np.array_equal(chunks[1], chunks[2])


def test_true_success_is_measured_once(tmp_path: Path, monkeypatch) -> None:
    from presage.systems.lab import pool as module

    members = [module.Member("still", True, lambda: Still(4, 2))]
    starts = [Start("pusht", 1, False)]
    monkeypatch.setattr(module, "rolled", lambda *a, **settings: rolled(*a, ("top",), **settings))
    first = true_success(members, starts, tmp_path, 1)
    monkeypatch.setattr(module, "rolled", None)
    assert true_success(members, starts, tmp_path, 1) == first == {"still": [0.0]}
    noisy = [module.Member("still", True, lambda: Noisy(Still(4, 2), 1.0))]  # of that name, and another policy
    with pytest.raises(TypeError):
        true_success(noisy, starts, tmp_path, 1)
