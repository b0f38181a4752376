"""What was seen last, beside the tokens that are asked for."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from presage.networks.packed import KV, Packed
from presage.timeline.backbone import Condition, Window
from presage.timeline.memory import Memory
from presage.timeline.streams import Stream

FRAME = Stream("frame", 2, 2)
SEEN = torch.arange(4.0)[None, :, None, None].expand(2, 4, 2, 2)
HISTORY = Window({"frame": SEEN}, {"frame": torch.zeros(2, 4)}, torch.arange(4).expand(2, 4), remember=True)


@dataclass
class Reader:
    """A network that does nothing and remembers what it read."""

    read_of: list[torch.Tensor] = field(default_factory=list)

    def embed(self, stream: str, x: torch.Tensor, level: torch.Tensor, *rest: Any) -> torch.Tensor:
        self.read_of.append(x)
        return x

    def __call__(self, x: torch.Tensor, times: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, KV]:
        return x, KV(x[None, :, None], x[None, :, None])

    def read(self, stream: str, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


def asked(steps: list[int], together: bool, level: float = 0.5) -> Window:
    noise = torch.full((2, len(steps), 2, 2), 9.0)
    levels = {"frame": torch.full((2, len(steps)), level)}
    return Window({"frame": noise}, levels, torch.tensor([steps, steps]), together=together)


@pytest.mark.parametrize(
    ("steps", "together", "last"),
    [([2, 4], False, [1, 3]), ([4, 5], True, [3, 3]), ([2, 3], True, [1, 1]), ([9], False, [3])],
)
def test_beside_what_is_asked_stands_what_was_seen_last(steps: list[int], together: bool, last: list[int]) -> None:
    reader = Reader()
    packed = Packed(reader, [FRAME], 3, beside=["frame"])
    packed([HISTORY, asked(steps, together)], Memory(), Condition(torch.zeros(2, 1)))
    told, question = reader.read_of
    assert not told[..., 2:].any() and (question[..., :2] == 9).all()
    assert question[0, :, 0, 2].tolist() == last
    packed([HISTORY, asked(steps, together, 1.0)], Memory(), Condition(torch.zeros(2, 1)))
    assert not reader.read_of[-1][..., :2].any()  # nothing but noise, which says nothing
    assert torch.equal(reader.read_of[-1][..., 2:], question[..., 2:])


def test_it_is_remembered_like_all_else_and_nothing_stands_beside_a_first_question() -> None:
    reader = Reader()
    packed = Packed(reader, [FRAME], 3, beside=["frame"])
    condition = Condition(torch.zeros(2, 1))
    memory = packed([HISTORY], Memory(), condition).memory
    packed([asked([4], False)], memory.truncate(2), condition)
    packed([asked([0], False)], Memory(), condition)
    _, later, first = reader.read_of
    assert later[0, :, 0, 2].tolist() == [1] and not first[..., 2:].any()
