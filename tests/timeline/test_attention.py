"""Who may look at whom: the properties every use relies on, for any window and any sequence of blocks."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from presage.timeline.attention import Tokens, timeline_rule
from presage.timeline.streams import Stream

STREAMS = [Stream("action", 1, 4), Stream("video.front", 2, 8), Stream("progress", 1, 1)]


def sequence(blocks: int, noisy: list[int]) -> Tokens:
    clean = [block_tokens(STREAMS, i, 0) for i in range(blocks)]
    return Tokens.cat(clean + [block_tokens(STREAMS[:2], i, 1) for i in noisy])


@given(window=st.integers(0, 5), blocks=st.integers(1, 6), data=st.data())
def test_nobody_sees_the_future_or_what_left_the_window(window: int, blocks: int, data: st.DataObject) -> None:
    noisy = data.draw(st.lists(st.integers(0, blocks), unique=True, max_size=3))
    tokens = sequence(blocks, noisy)
    mask = timeline_rule(window)(tokens, tokens)
    age = tokens.block[:, None] - tokens.block[None, :]
    assert not mask[age < 0].any()
    reach = torch.where(tokens.copy > 0, max(window, 1), window)[
        :, None
    ]  # an imagination sees at least the newest frame
    assert not mask[age > reach].any()


@given(window=st.integers(0, 5), blocks=st.integers(1, 6))
def test_a_noisy_block_never_sees_its_own_truth(window: int, blocks: int) -> None:
    tokens = sequence(blocks, list(range(blocks)))
    mask = timeline_rule(window)(tokens, tokens)
    noisy_to_clean = (tokens.copy > 0)[:, None] & (tokens.copy == 0)[None, :]
    same = tokens.block[:, None] == tokens.block[None, :]
    assert not mask[noisy_to_clean & same].any()


@given(window=st.integers(0, 5), blocks=st.integers(1, 6))
def test_the_clean_past_never_sees_noise_and_queries_are_seen_by_themselves_only(window: int, blocks: int) -> None:
    tokens = sequence(blocks, list(range(blocks)))
    mask = timeline_rule(window)(tokens, tokens)
    assert not mask[(tokens.copy == 0)[:, None] & (tokens.copy > 0)[None, :]].any()
    seen = mask & tokens.query[None, :]
    assert torch.equal(seen, torch.diag(tokens.query))


def test_every_token_sees_at_least_itself() -> None:
    tokens = sequence(3, [1, 3])
    assert timeline_rule(2)(tokens, tokens).diagonal().all()
