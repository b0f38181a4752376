"""A network of tokens as a backbone: windows become one masked sequence, and keys and values are its memory.

`Tokens in, tokens out` is all such a network does (`TokenNetwork`): the transformer, experts with joint attention and
published backbones share this packing.

Shapes: B batch, N steps, S tokens of a sequence, P tokens of the past, T tokens of a stream, C numbers a token.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from presage.device import autocast
from presage.timeline.attention import Rule, Tokens, teacher_forced
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values


class KV(NamedTuple):
    """Keys and values of P tokens in every layer: each (layers, B, H, P, D/H)."""

    keys: Tensor
    values: Tensor


class TokenNetwork(Protocol):
    """Tensors that it returns are opaque along their last axis: it may let ride along whatever it needs again later."""

    def embed(
        self,
        stream: str,
        x_BNTC: Tensor | None,
        level_BN: Tensor,
        condition: Condition,
        quality_BN: Tensor | None = None,
        missing_BN: Tensor | None = None,
    ) -> Tensor:
        """Tokens of one stream in N steps -> (B, N, T, ...). None: not recorded, or a query."""
        ...

    def __call__(
        self,
        x: Tensor,
        times: Tensor,
        mask_SK: Tensor,
        past: KV | None = None,
        tap: int | None = None,
        condition: Condition | None = None,
    ) -> tuple[Tensor, KV]:
        """Hidden states (B, S, ...) and the new tokens' keys and values (layers, B, H, S, ...).

        `times` is (S,), or (B, 1, S) where rows are at different times: absolute, so that nothing is re-indexed when
        the past is cut. The mask's first columns are the past. With `tap`, plain hidden states after so many layers.
        """
        ...

    def read(self, stream: str, hidden: Tensor) -> Tensor:
        """What the output layer of a stream makes of hidden states (..., D): (..., C)."""
        ...


class Packed(nn.Module):
    """`rule` makes the attention rule of a context length; `context` is how many steps back anything looks."""

    def __init__(
        self,
        network: TokenNetwork,
        streams: Sequence[Stream],
        context: int,
        rule: Callable[[int], Rule] = teacher_forced,
    ) -> None:
        super().__init__()
        self.network, self.context, self.rule = network, context, rule
        self.streams: Sequence[Stream] = streams

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def forward(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        device = windows[0].steps.device
        held = [[s for s in self.streams if s.name in w.levels] for w in windows]
        past = [self._tokens([s for s in self.streams if s.name in e.what], e.steps[:1, None], 0, True) for e in memory]
        new = [
            self._tokens(h, w.steps[:1], i + 1, w.remember, w.together) for i, (h, w) in enumerate(zip(held, windows))
        ]
        tokens, every = Tokens.cat(new), Tokens.cat([*past, *new])
        context = self.context if condition.context is None else condition.context
        mask = self.rule(context)(tokens, every).to(device)
        times = torch.cat([self._times(h, w.steps) for h, w in zip(held, windows)], 1)
        alike = bool((times == times[:1]).all())
        with autocast(device):
            x = torch.cat([self._embed(h, w, condition) for h, w in zip(held, windows)], 1)
            hidden, kv = self.network(
                x,
                times[0] if alike else times[:, None],
                mask,
                _past(memory),
                None if tap is None else tap.layer,
                condition,
            )
        pieces = [
            dict(zip([s.name for s in h], piece.unflatten(1, (w.steps.shape[1], -1)).split([s.tokens for s in h], 2)))
            for h, w, piece in zip(held, windows, hidden.split([len(t.step) for t in new], 1))
        ]
        if tap is not None:
            return Output([{} for _ in windows], memory, pieces)
        raw = [self._read(h, w, piece) for h, w, piece in zip(held, windows, pieces)]
        end = 0
        for h, w, t in zip(held, windows, new):
            begin, end = end, end + len(t.step)
            if w.remember:
                memory = memory.add(*_entries(kv, begin, h, w, t))
        return Output(raw, memory)

    def _tokens(
        self, streams: Sequence[Stream], steps_1N: Tensor, copy: int, remember: bool, together: bool = False
    ) -> Tokens:
        """Tokens of a window, on the clock of its first row."""
        steps = steps_1N[0].cpu()
        n, tokens = len(steps), sum(s.tokens for s in streams)
        step = steps.repeat_interleave(tokens)
        first = steps[:1].expand(n * tokens) if together and not remember else step
        acts = torch.cat([torch.full((s.tokens,), s.acts) for s in streams]).repeat(n)
        unseen = torch.cat([torch.full((s.tokens,), not s.seen) for s in streams]).repeat(n)
        return Tokens(step, torch.full_like(step, 0 if remember else copy), first, acts, unseen)

    def _times(self, streams: Sequence[Stream], steps: Tensor) -> Tensor:
        """(B, S) when each token is, in steps."""
        if not any(s.offsets for s in streams):
            return steps.repeat_interleave(sum(s.tokens for s in streams), 1)
        offsets = [o for s in streams for o in (s.offsets or (0.0,) * s.tokens)]
        return (steps[..., None] + torch.tensor(offsets, device=steps.device)).flatten(1)

    def _embed(self, streams: Sequence[Stream], window: Window, condition: Condition) -> Tensor:
        values, parts = dict(window.values), []
        for s in streams:
            if s.derive is not None and (derived := s.derive(window.values)) is not None:
                values[s.name] = derived
            x, level = values.get(s.name), window.levels[s.name]
            if x is None:
                level = torch.ones_like(level)
            missing = window.present.get(s.name)
            parts.append(
                self.network.embed(s.name, x, level, condition, window.quality, None if missing is None else ~missing)
            )
        return torch.cat(parts, 2).flatten(1, 2)

    def _read(self, streams: Sequence[Stream], window: Window, hidden: Values) -> Values:
        """Answers; what is given throughout is not asked for."""
        if window.remember:
            asked = [s for s in streams if s.asked]
        else:
            asked = [s for s in streams if s.derive is None and bool(window.levels[s.name].any())]
        return {s.name: self.network.read(s.name, hidden[s.name]).float() for s in asked}


def _past(memory: Memory[Entry]) -> KV | None:
    if not memory.entries:
        return None
    keys, values = (torch.cat([e.kept[name] for e in memory], -2).transpose(0, 1) for name in KV._fields)
    return KV(keys, values)


def _entries(kv: KV, begin: int, streams: Sequence[Stream], window: Window, tokens: Tokens) -> list[Entry]:
    """An entry for each step; nobody looks at an unseen token, so it is not worth a place."""
    seen = [s for s in streams if s.seen]
    each = len(tokens.step) // window.steps.shape[1]
    keep = (~tokens.unseen[:each]).nonzero()[:, 0].to(window.steps.device)
    in_a_row = len(keep) == int(keep[-1] - keep[0]) + 1  # then a view does, and training pays nothing for its memory
    what = tuple(s.name for s in seen)
    out = []
    for i in range(window.steps.shape[1]):
        start = begin + i * each
        if in_a_row:
            parts = [x.narrow(-2, start + int(keep[0]), len(keep)) for x in kv]
        else:
            parts = [x.index_select(-2, keep + start) for x in kv]
        kept = {name: x.transpose(0, 1) for name, x in zip(KV._fields, parts)}
        out.append(Entry(window.steps[:, i], kept, what))
    return out
