"""Labels of outcomes: success is what a frame shows, and an object that is put back is a failure."""

import numpy as np
from tests.recorded import moving_square

from presage.systems.lab.outcome import OUTCOME, put_back, success_shown, with_outcome


def test_a_frame_shows_what_was_reached_before_it(monkeypatch) -> None:
    class Data:
        episodes = [type("E", (), {"length": n}) for n in (3, 2)]

        def column(self, name: str) -> np.ndarray:
            return np.array([0, 1, 1, 0, 1], bool)

    assert success_shown(Data()).tolist() == [False, False, True, False, False]  # type: ignore[arg-type]


def test_an_outcome_is_one_hot() -> None:
    data = with_outcome(moving_square(1), OUTCOME, np.arange(8) % 2)
    assert data.latents["outcome"].shape == (8, 1, 2) and (data.latents["outcome"].sum(-1) == 1).all()
    assert data.latents["outcome"][:2, 0].tolist() == [[1, 0], [0, 1]]


def test_an_object_is_put_back_and_the_hand_stays() -> None:
    rows, solved = put_back(("drawer-open-v3",), 1, 600_000, ("front",))
    assert solved.tolist() == [True, False] and np.array_equal(rows.state[0], rows.state[1])
    kept, back = rows.frames["image.front"].astype(int)
    changed = (np.abs(kept - back).max(-1) > 20).mean()
    assert 0.005 < changed < 0.2  # the drawer, and nothing else
