"""Windows stay in their episode, mark what is padding, and resume to the same draws."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presage.episodes.mixture import Mixture
from presage.episodes.windows import Windows
from presage.errors import UserError

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


@given(lengths=LENGTHS, window=st.integers(1, 12), stride=st.integers(1, 4), batch=st.integers(1, 40))
def test_windows_are_clamped_and_masked(lengths, window, stride, batch):
    windows = Windows(lengths, window, stride)
    rows, is_pad = windows.sample(batch)
    assert rows.shape == is_pad.shape == (batch, window)
    assert rows.dtype == np.int64 and is_pad.dtype == bool
    ends = np.cumsum(lengths)
    episode = np.searchsorted(ends, rows, side="right")
    assert (episode == episode[:, :1]).all()
    last = ends[episode[:, 0]] - 1
    wanted = rows[:, :1] + stride * np.arange(window)
    np.testing.assert_array_equal(is_pad, wanted > last[:, None])
    np.testing.assert_array_equal(rows, np.minimum(wanted, last[:, None]))
    long_enough = np.array(lengths)[episode[:, 0]] > (window - 1) // 2 * stride
    assert (is_pad[long_enough].sum(axis=1) <= window // 2).all()
    first = ends[episode[:, 0]] - np.array(lengths)[episode[:, 0]]
    assert (rows[~long_enough, 0] == first[~long_enough]).all()


@given(lengths=LENGTHS, window=st.integers(1, 12))
def test_one_epoch_shows_every_start_once_and_every_row(lengths, window):
    windows = Windows(lengths, window, seed=3)
    rows, is_pad = windows.sample(len(windows))
    assert len(set(rows[:, 0].tolist())) == len(windows)
    assert set(rows[~is_pad].tolist()) == set(range(sum(lengths)))


def test_windows_may_begin_in_the_first_rows_alone():
    rows, _ = (windows := Windows([9, 5, 9], 3, first=2)).sample(6)
    assert len(windows) == 6 and sorted(rows[:, 0].tolist()) == [0, 1, 9, 10, 14, 15]


@given(lengths=LENGTHS, seed=st.integers(0, 5), drawn=st.lists(st.integers(1, 50), max_size=4))
def test_windows_resume(lengths, seed, drawn):
    windows = Windows(lengths, 4, seed=seed)
    for batch in drawn:
        windows.sample(batch)
    state = json.loads(json.dumps(windows.state()))
    resumed = Windows(lengths, 4, seed=seed)
    resumed.load_state(state)
    for _ in range(3):
        for found, expected in zip(resumed.sample(7), windows.sample(7)):
            np.testing.assert_array_equal(found, expected)


def test_seeds_and_epochs_differ():
    windows = Windows([50], 2, seed=0)
    first, _ = windows.sample(len(windows))
    second, _ = windows.sample(len(windows))
    other, _ = Windows([50], 2, seed=1).sample(len(windows))
    assert not np.array_equal(first, second) and not np.array_equal(first, other)


def test_wrong_input_is_one_line():
    with pytest.raises(UserError, match="window 0"):
        Windows([3], 0)
    with pytest.raises(UserError, match="no episode may be empty"):
        Windows([3, 0], 2)
    with pytest.raises(UserError, match="cannot resume"):
        Windows([3], 2).load_state(Windows([4], 2).state())
    with pytest.raises(UserError, match="cannot resume"):
        Windows([3], 2, seed=1).load_state(Windows([3], 2).state())


def test_mixture_draws_by_weight_and_resumes():
    def mixture() -> Mixture:
        return Mixture([Windows([20, 20], 4), Windows([5], 4), Windows([9], 4)], [3.0, 1.0, 0.0], seed=2)

    running = mixture()
    source, rows, is_pad = running.sample(4000)
    assert rows.shape == is_pad.shape == (4000, 4)
    assert np.mean(source == 0) == pytest.approx(0.75, abs=0.03) and not (source == 2).any()
    assert rows[source == 0].max() == 39 and rows[source == 1].max() == 4
    resumed = mixture()
    resumed.load_state(json.loads(json.dumps(running.state())))
    for found, expected in zip(resumed.sample(50), running.sample(50)):
        np.testing.assert_array_equal(found, expected)


def test_mixture_refuses_what_does_not_fit():
    parts = [Windows([5], 4), Windows([5], 4)]
    for weights in ([1.0], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(UserError, match="mixture: "):
            Mixture(parts, weights)
    with pytest.raises(UserError, match="one window length"):
        Mixture([Windows([5], 4), Windows([5], 3)], [1, 1])
    with pytest.raises(UserError, match="cannot resume"):
        Mixture(parts, [1, 1], seed=0).load_state(Mixture(parts, [1, 1], seed=1).state())


@given(lengths=LENGTHS, window=st.integers(2, 12), back=st.integers(1, 20), batch=st.integers(1, 40))
def test_a_window_may_begin_with_a_view_from_earlier(lengths, window, back, batch):
    rows, is_pad = Windows(lengths, window, seed=1, back=back).sample(batch)
    plain, plain_pad = Windows(lengths, window - 1, seed=1).sample(batch)
    np.testing.assert_array_equal(rows[:, 1:], plain)
    np.testing.assert_array_equal(is_pad[:, 1:], plain_pad)
    first = np.cumsum(lengths) - np.array(lengths)
    begins = first[np.searchsorted(np.cumsum(lengths), rows[:, 1], side="right")]
    assert ((rows[:, 1] - rows[:, 0] <= back) & (rows[:, 0] >= begins)).all()
    assert ((rows[:, 0] < rows[:, 1]) | (rows[:, 1] == begins)).all()
    assert not is_pad[:, 0].any()


def test_views_from_earlier_resume_to_the_same_draws():
    straight = Windows([30, 20], 4, seed=2, back=9)
    straight.sample(8)
    resumed = Windows([30, 20], 4, seed=2, back=9)
    resumed.load_state(straight.state())
    np.testing.assert_array_equal(straight.sample(8)[0], resumed.sample(8)[0])


@given(lengths=LENGTHS, window=st.integers(2, 12), before=st.integers(1, 6), back=st.integers(0, 9))
def test_windows_may_begin_before_their_episode_whose_first_row_is_repeated(lengths, window, before, back):
    windows = Windows(lengths, window + (back > 0), seed=1, back=back, before=before)
    inside = Windows(lengths, window, seed=1)
    assert len(windows) == len(inside) + before * len(lengths)
    every, plain = (w.sample(len(w)) for w in (windows, inside))
    rows, is_pad = (x[:, 1:] if back else x for x in every)
    begins = np.cumsum(lengths) - lengths
    expected = {(tuple(row), tuple(pad)) for row, pad in zip(*(x.tolist() for x in plain))}
    for begin, length in zip(begins, lengths):
        for early in range(1, before + 1):
            row = begin + np.arange(window) - early
            last = begin + length - 1
            expected.add((tuple(row.clip(begin, last).tolist()), tuple((row > last).tolist())))
    assert {(tuple(row), tuple(pad)) for row, pad in zip(rows.tolist(), is_pad.tolist())} == expected


def test_the_first_step_of_an_episode_is_asked_after_its_first_row():
    rows, _ = Windows([10, 10], 6, back=7, before=3, seed=0).sample(26)
    assert {(0, 1), (10, 11)} <= {(int(past), int(asked)) for past, asked in rows[:, 4:]}
