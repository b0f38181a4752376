"""Sessions that are joined compute what each would have computed alone, and are whole again afterwards."""

from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_chunk, tiny_model, tiny_observation

from presage.networks.base import step, value_of
from presage.networks.world_model import WorldModel
from presage.timeline.joined import JoinedSession, joinable
from presage.timeline.levels import Schedule
from presage.timeline.session import Session


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_model()


def lived(model: WorldModel, steps: int, seed: int = 0, batch: int = 1) -> Session:
    session = Session(model, [f"task {seed}"] * batch, seed=seed)
    for t in range(steps):
        session.observe(tiny_observation(batch, seed=seed + t), tiny_chunk(batch, seed=seed + t) if t else None)
    return session


def stacked(make, batches, seed):
    """Rows for the joined sessions, and the same rows for each of them."""
    parts = [make(batch, seed=seed + i) for i, batch in enumerate(batches)]
    if isinstance(parts[0], dict):
        return {k: torch.cat([torch.from_numpy(p[k]) for p in parts]).numpy() for k in parts[0]}, parts
    return torch.cat([torch.from_numpy(p) for p in parts]).numpy(), parts


@settings(max_examples=10)
@given(steps=st.lists(st.integers(3, 9), min_size=2, max_size=4), batch=st.integers(1, 2), rounds=st.integers(1, 4))
def test_joined_sessions_compute_what_lone_ones_do(model: WorldModel, steps, batch, rounds) -> None:
    joined = [lived(model, n, seed=10 * i, batch=batch) for i, n in enumerate(steps)]
    lone = [lived(model, n, seed=10 * i, batch=batch) for i, n in enumerate(steps)]
    for turn in range(rounds):
        observation, observations = stacked(tiny_observation, [batch] * len(steps), seed=100 * turn)
        chunk, chunks = stacked(tiny_chunk, [batch] * len(steps), seed=100 * turn)
        together = JoinedSession(joined)
        together.observe(observation, chunk)
        imagined = together.imagine(Schedule.joint(2)).values
        together.part()
        for i, session in enumerate(lone):
            session.observe(observations[i], chunks[i])
            expected = session.imagine(Schedule.joint(2)).values
            for name, value in expected.items():
                torch.testing.assert_close(imagined[name][i * batch : (i + 1) * batch], value, atol=1e-4, rtol=0)
            torch.testing.assert_close(value_of(joined[i]), value_of(session), atol=1e-4, rtol=0)
            assert [b.index for b in joined[i].blocks] == [b.index for b in session.blocks]


def test_what_was_imagined_before_joining_is_dropped(model: WorldModel) -> None:
    first, second = lived(model, 4), lived(model, 6, seed=1)
    second.append(second.imagine(Schedule.joint(1)).values, imagined=True)
    together = JoinedSession([first, second])
    together.observe(tiny_observation(2), tiny_chunk(2))
    together.append(together.imagine(Schedule.joint(1)).values, imagined=True)
    together.part()
    assert [(b.index, b.imagined) for b in second.blocks[-3:]] == [(5, False), (6, False), (7, True)]
    assert first.step == 5 and first.last.imagined


def test_a_parted_session_holds_its_own_rows_only(model: WorldModel) -> None:
    sessions = [lived(model, 0, seed=i) for i in range(8)]
    together = JoinedSession(sessions)
    together.observe(tiny_observation(8))
    together.part()
    for kept in sessions[3].last.entry.kept.values():
        assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()


def test_sessions_that_see_different_pasts_cannot_be_joined(model: WorldModel) -> None:
    new, old = lived(model, 1), lived(model, 3)
    assert joinable(new) != joinable(old)
    with pytest.raises(ValueError, match="equally many blocks"):
        JoinedSession([new, old])


# -- forks, rows, and the way back ------------------------------------------------------------------------------------


def rows_of(values, i: int, batch: int):
    return {name: x[i * batch : (i + 1) * batch] for name, x in values.items()}


def close(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=0)


@settings(max_examples=10)
@given(
    steps=st.lists(st.integers(3, 9), min_size=2, max_size=3),
    batch=st.integers(1, 2),
    n=st.integers(1, 3),
    seed=st.none() | st.integers(0, 9),
)
def test_forking_joined_sessions_gives_what_forking_each_alone_gives(model: WorldModel, steps, batch, n, seed) -> None:
    def apart() -> list[Session]:
        return [lived(model, length, seed=10 * i, batch=batch) for i, length in enumerate(steps)]

    together, alone = JoinedSession(apart()), apart()
    for _ in range(2):  # the second fork draws other noise, in both
        forks, fork = [session.fork(n, seed) for session in alone], together.fork(n, seed)
        chunk, chunks = stacked(tiny_chunk, [batch * n] * len(steps), seed=7)
        step(fork, chunk)
        imagined = fork.fork(1).imagine(Schedule.joint(2)).values
        for i, one in enumerate(forks):
            step(one, chunks[i])
            close(rows_of(imagined, i, batch * n), one.fork(1).imagine(Schedule.joint(2)).values)


def test_a_fork_of_joined_sessions_drops_rows_and_goes_on(model: WorldModel) -> None:
    together, alone = JoinedSession([lived(model, 3), lived(model, 8, seed=1)]), lived(model, 8, seed=1)
    fork, expected = together.fork(2), alone.fork(2)
    fork.keep([3]), expected.keep([1])
    for session in (fork, expected):
        step(session, tiny_chunk(1))
    close(fork.imagine(Schedule.joint(2)).values, expected.imagine(Schedule.joint(2)).values)


def test_rows_of_joined_sessions_are_dropped_by_the_sessions_themselves(model: WorldModel) -> None:
    with pytest.raises(ValueError, match="part the sessions first"):
        JoinedSession([lived(model, 3), lived(model, 4)]).keep([0])


def test_parting_twice_adds_nothing(model: WorldModel) -> None:
    sessions = [lived(model, 4), lived(model, 6, seed=1)]
    together = JoinedSession(sessions)
    together.observe(tiny_observation(2), tiny_chunk(2))
    together.part()
    together.append(together.imagine(Schedule.joint(1)).values, imagined=True)
    together.part()
    together.part()
    assert [[b.index for b in s.blocks][-3:] for s in sessions] == [[3, 4, 5], [5, 6, 7]]
    assert [b.imagined for b in sessions[1].blocks][-3:] == [False, False, True]


def test_joined_sessions_that_go_back_take_their_sessions_with_them(model: WorldModel) -> None:
    joined, alone = [lived(model, 3), lived(model, 3, seed=1)], [lived(model, 3), lived(model, 3, seed=1)]
    together = JoinedSession(joined)
    for session in (together, *alone):
        session.rewind(1)
    together.observe(tiny_observation(2, seed=9), tiny_chunk(2, seed=9))
    together.part()
    for i, session in enumerate(alone):
        session.observe({name: x[[i]] for name, x in tiny_observation(2, seed=9).items()}, tiny_chunk(2, seed=9)[[i]])
        assert [b.index for b in joined[i].blocks] == [b.index for b in session.blocks] == [0, 1, 2]
        torch.testing.assert_close(value_of(joined[i]), value_of(session), atol=1e-4, rtol=0)


def test_an_imagined_block_between_true_ones_stays_in_the_past(model: WorldModel) -> None:
    def dreamt() -> Session:
        session = lived(model, 3)
        session.append(session.imagine(Schedule.joint(1)).values, imagined=True)
        session.append(lived(model, 1).last.values)  # truth beside the dream, not in its place
        return session

    together = JoinedSession([lived(model, 4, seed=1), dreamt()])
    close(rows_of(together.imagine(Schedule.joint(2)).values, 1, 1), dreamt().imagine(Schedule.joint(2)).values)


@settings(max_examples=6)
@given(lives=st.lists(st.sampled_from(["observe", "dream", "rewind"]), min_size=1, max_size=12))
def test_whatever_happens_while_joined_is_what_would_have_happened_apart(model: WorldModel, lives: list[str]) -> None:
    """Observed, dreamt and taken back in any order, beyond what is kept: parted sessions are as if they had lived
    alone."""

    def apart() -> list[Session]:
        return [lived(model, 3), lived(model, 7, seed=1)]

    joined, alone = apart(), apart()
    together = JoinedSession(joined)
    for turn, life in enumerate(lives):
        observation, chunk = tiny_observation(2, seed=turn), tiny_chunk(2, seed=turn)
        for rows, session in ((slice(0, 2), together), (slice(0, 1), alone[0]), (slice(1, 2), alone[1])):
            if life == "observe":
                session.observe({name: x[rows] for name, x in observation.items()}, chunk[rows])
            elif life == "dream":
                session.append(session.imagine(Schedule.joint(1)).values, imagined=True)
            elif session.last.imagined:
                with suppress(ValueError):  # what it would need is evicted, in all of them or in none
                    session.rewind(session.step - 1)
    together.part()
    for found, expected in zip(joined, alone, strict=True):
        assert [(b.index, b.imagined) for b in found.blocks] == [(b.index, b.imagined) for b in expected.blocks]
        close(found.imagine(Schedule.joint(1)).values, expected.imagine(Schedule.joint(1)).values)
