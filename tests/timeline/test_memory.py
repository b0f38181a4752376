"""A memory behaves as a list of steps, each a list of rows, whatever an entry holds."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from presage.timeline.memory import Entry, Memory, repeat

Rows = list[list[int]]
"""Step -> row -> its number."""


@dataclass(frozen=True)
class Nested:
    """As a session's block: an entry of the network, values of its own, and what is no tensor."""

    index: int
    entry: Entry
    values: dict[str, Tensor]
    carried: Tensor | None


def memory_of(numbers: Rows, deep: bool = True) -> Memory[Nested]:
    return Memory(tuple(nested(i, rows, deep) for i, rows in enumerate(numbers)))


def nested(index: int, rows: list[int], deep: bool = True) -> Nested:
    x = torch.tensor(rows)
    entry = Entry(x + 1000, {"keys": x[:, None, None].expand(-1, 2, 3)}, ("stream",))
    return Nested(index, entry, {"stream": x[:, None].float()}, x[:, None].double() if deep else None)


def numbers_of(memory: Memory[Nested]) -> Rows:
    """The rows that every tensor of the memory agrees on."""
    for e in memory:
        x = e.values["stream"][:, 0]
        assert torch.equal(e.entry.steps, x.long() + 1000) and e.entry.what == ("stream",)
        assert torch.equal(e.entry.kept["keys"], x.long()[:, None, None].expand(-1, 2, 3))
        assert e.carried is None or torch.equal(e.carried[:, 0], x.double())
    return [e.values["stream"][:, 0].int().tolist() for e in memory]


@st.composite
def rows(draw: st.DrawFn, length: int | None = None) -> Rows:
    length = draw(st.integers(0, 5)) if length is None else length
    batch = draw(st.integers(1, 4))
    return [draw(st.lists(st.integers(0, 99), min_size=batch, max_size=batch)) for _ in range(length)]


@given(numbers=rows(), n=st.integers(0, 7))
def test_truncate_keeps_the_oldest_and_recent_the_newest(numbers: Rows, n: int) -> None:
    memory = memory_of(numbers)
    assert numbers_of(memory.truncate(n)) == numbers[:n]
    assert numbers_of(memory.recent(n)) == numbers[max(0, len(numbers) - n) :]
    assert numbers_of(memory) == numbers and len(memory) == len(numbers)  # none is changed in place


@given(numbers=rows(), data=st.data())
def test_select_takes_rows_in_any_order_and_as_often_as_they_are_named(numbers: Rows, data: st.DataObject) -> None:
    batch = len(numbers[0]) if numbers else 1
    chosen = data.draw(st.lists(st.integers(0, batch - 1), max_size=5))
    selected = memory_of(numbers).select(torch.tensor(chosen, dtype=torch.long))
    assert numbers_of(selected) == [[step[i] for i in chosen] for step in numbers]


@given(numbers=rows(), n=st.integers(1, 3))
def test_repeat_puts_the_copies_of_a_row_side_by_side(numbers: Rows, n: int) -> None:
    assert numbers_of(memory_of(numbers).repeat(n)) == [[x for x in step for _ in range(n)] for step in numbers]


@given(length=st.integers(0, 4), data=st.data())
def test_join_puts_batches_in_a_row(length: int, data: st.DataObject) -> None:
    parts = data.draw(st.lists(rows(length), min_size=1, max_size=3))
    joined = Memory.join([memory_of(part) for part in parts])
    assert numbers_of(joined) == [sum((part[i] for part in parts), []) for i in range(length)]


@given(numbers=rows(length=3), n=st.integers(1, 3), cut=st.integers(0, 3))
def test_joining_undoes_selecting_and_the_order_of_operations_does_not_matter(numbers: Rows, n: int, cut: int) -> None:
    memory, batch = memory_of(numbers), len(numbers[0])
    each = [memory.select(torch.tensor([i])) for i in range(batch)]
    assert numbers_of(Memory.join(each)) == numbers
    assert numbers_of(memory.repeat(n).truncate(cut)) == numbers_of(memory.truncate(cut).repeat(n))
    assert numbers_of(Memory.join([memory.recent(cut)] * 2)) == numbers_of(Memory.join([memory] * 2).recent(cut))


def test_entries_are_added_at_the_end() -> None:
    memory = memory_of([[1, 2]])
    longer = memory.add(nested(1, [3, 4]), nested(2, [5, 6]))
    assert numbers_of(longer) == [[1, 2], [3, 4], [5, 6]] and [e.index for e in longer] == [0, 1, 2]
    assert len(memory) == 1


def test_memories_of_unequal_length_are_not_joined() -> None:
    with pytest.raises(ValueError):
        Memory.join([memory_of([[1]]), memory_of([[1], [2]])])


def test_joined_entries_keep_what_all_of_them_hold() -> None:
    one, other = nested(0, [1]), nested(0, [2])
    one.values["more"] = torch.ones(1, 1)
    (joined,) = Memory.join([Memory((one,)), Memory((other,))])
    assert joined.values.keys() == {"stream"}


def test_what_is_no_tensor_stays_as_it_is() -> None:
    memory = memory_of([[1, 2], [3, 4]], deep=False).repeat(2)
    assert [e.carried for e in memory] == [None, None] and [e.index for e in memory] == [0, 1]


def test_the_futures_of_a_single_row_share_its_memory() -> None:
    """A fork of one robot into hundreds of futures costs no copy of the past."""
    memory = memory_of([[7]])
    (entry,) = memory.repeat(100)
    assert entry.values["stream"].data_ptr() == memory.entries[0].values["stream"].data_ptr()
    assert repeat(torch.arange(2), 2).tolist() == [0, 0, 1, 1]
