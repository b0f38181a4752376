"""Who may look at whom: the properties every use relies on, for any context and any sequence of steps."""

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from presage.timeline.attention import Tokens, both, causal, either, history, one_way, same_question, teacher_forced
from presage.timeline.corruption import Regress
from presage.timeline.streams import Stream

STREAMS = [Stream("done", 1, 4, acts=True), Stream("seen", 2, 8), Stream("asked", 1, 1, Regress(), seen=False)]


def tokens_of(streams: Sequence[Stream], steps: Sequence[int], copy: int, together: bool = False) -> Tokens:
    """Of history (copy 0), or of a question: one for each step, or of all steps together."""
    step, acts, unseen = torch.tensor(
        [(i, s.acts, not s.seen) for i in steps for s in streams for _ in range(s.tokens)]
    ).T
    first = torch.full_like(step, steps[0]) if together else step
    return Tokens(step, torch.full_like(step, copy), first, acts.bool(), unseen.bool())


def sequence(length: int, asked: list[int]) -> Tokens:
    """History of `length` steps, and a question for each step that is asked."""
    parts = [tokens_of(STREAMS, range(length), 0)]
    return Tokens.cat(parts + [tokens_of(STREAMS[:2], [i], 1) for i in asked])


@given(context=st.integers(0, 5), length=st.integers(1, 6), data=st.data())
def test_nobody_sees_the_future_or_what_left_the_context(context: int, length: int, data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.integers(0, length), unique=True, max_size=3))
    tokens = sequence(length, asked)
    mask = teacher_forced(context)(tokens, tokens)
    age = tokens.step[:, None] - tokens.step[None, :]
    assert not mask[age < 0].any()
    reach = torch.where(tokens.copy > 0, max(context, 1), context)[:, None]  # a question sees at least the newest step
    assert not mask[age > reach].any()


@given(context=st.integers(0, 5), length=st.integers(1, 6))
def test_all_that_is_within_the_context_is_seen(context: int, length: int) -> None:
    tokens = sequence(length, [length])
    mask = teacher_forced(context)(tokens, tokens)
    age = tokens.step[:, None] - tokens.step[None, :]
    past = (tokens.copy == 0)[None, :] & ~tokens.unseen[None, :]
    oldest = torch.where(tokens.copy > 0, max(context, 1), context)[:, None]
    newest = (tokens.copy > 0).long()[:, None]
    assert mask[past & (age >= newest) & (age <= oldest)].all()


@given(context=st.integers(0, 5), length=st.integers(1, 6))
def test_a_question_never_sees_its_own_truth(context: int, length: int) -> None:
    tokens = sequence(length, list(range(length)))
    mask = teacher_forced(context)(tokens, tokens)
    question_to_history = (tokens.copy > 0)[:, None] & (tokens.copy == 0)[None, :]
    same = tokens.step[:, None] == tokens.step[None, :]
    assert not mask[question_to_history & same].any()


@given(context=st.integers(0, 5), length=st.integers(1, 6))
def test_history_never_sees_a_question_and_queries_are_seen_by_themselves_only(context: int, length: int) -> None:
    tokens = sequence(length, list(range(length)))
    mask = teacher_forced(context)(tokens, tokens)
    assert not mask[(tokens.copy == 0)[:, None] & (tokens.copy > 0)[None, :]].any()
    seen = mask & tokens.unseen[None, :]
    assert torch.equal(seen, torch.diag(tokens.unseen))


def test_every_token_sees_at_least_itself() -> None:
    tokens = sequence(3, [1, 3])
    assert teacher_forced(2)(tokens, tokens).diagonal().all()


@given(context=st.integers(0, 4), length=st.integers(1, 5), steps=st.integers(1, 4))
def test_a_clip_sees_itself_and_the_past_of_its_first_step(context: int, length: int, steps: int) -> None:
    """All of its steps look back as far as the first one, so that none sees the truth of an earlier one."""
    clip = tokens_of(STREAMS[:2], range(length, length + steps), 1, together=True)
    tokens = Tokens.cat([tokens_of(STREAMS, range(length + steps), 0), clip])
    mask = teacher_forced(context)(clip, tokens)
    past = (tokens.copy == 0) & (tokens.step < length) & (tokens.step >= length - max(1, context)) & ~tokens.unseen
    assert torch.equal(mask, (past | (tokens.copy == 1)).expand_as(mask))


@given(steps=st.integers(2, 4))
def test_two_questions_of_the_same_steps_do_not_see_each_other(steps: int) -> None:
    one, other = (tokens_of(STREAMS[:2], range(steps), copy, together=True) for copy in (1, 2))
    assert not teacher_forced(3)(one, other).any()
    apart = tokens_of(STREAMS[:2], range(steps), 1)  # nor do the steps of one that is not a clip
    mask = same_question(apart, apart)
    assert torch.equal(mask, apart.step[:, None] == apart.step[None, :])


def test_one_way_hides_what_is_done_from_what_is_seen_in_a_question_but_not_in_the_past() -> None:
    tokens = Tokens.cat([tokens_of(STREAMS, [0], 0), tokens_of(STREAMS[:2], [1], 1)])
    mask = teacher_forced(1, one_way)(tokens, tokens)
    done, seen = (tokens.copy == 1) & tokens.acts, (tokens.copy == 1) & ~tokens.acts
    assert not mask[seen][:, done].any() and mask[done][:, seen].all()
    assert mask[seen][:, (tokens.copy == 0) & tokens.acts].all()


def test_causal_lets_a_step_of_a_clip_see_no_later_one() -> None:
    tokens = Tokens.cat([tokens_of(STREAMS, [0], 0), tokens_of(STREAMS[:2], [1, 2, 3], 1, together=True)])
    mask, free = teacher_forced(1, causal)(tokens, tokens), teacher_forced(1)(tokens, tokens)
    later = (tokens.step[None, :] > tokens.step[:, None]) & (tokens.copy > 0)[:, None]
    assert free[later].any() and not mask[later].any()
    assert torch.equal(mask | later, free | later)  # and nothing else changes


def test_rules_compose() -> None:
    tokens = sequence(2, [2])
    past, own = history(1)(tokens, tokens), same_question(tokens, tokens)
    assert torch.equal(either(history(1), same_question)(tokens, tokens), past | own)
    assert torch.equal(both(history(1), same_question, causal)(tokens, tokens), past & own & causal(tokens, tokens))
