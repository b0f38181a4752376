"""A network of tokens as a backbone: windows become one masked sequence, and keys and values are its memory.

`Tokens in, tokens out` is all such a network does (`TokenNetwork`): the transformer, experts with joint attention and
published backbones share this packing.

Shapes: B batch, N steps, S tokens of a sequence, P tokens of the past, T tokens of a stream, C numbers a token.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from presage.device import autocast
from presage.timeline.attention import Rule, Tokens, teacher_forced
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values

LAYOUTS = 64
"""Layouts of tokens that are remembered"""
SEEN = "seen "
"""Prefix of what an entry holds beside keys and values: streams as they were seen"""


class KV(NamedTuple):
    """Keys and values of P tokens in every layer: each (layers, B, H, P, D/H)."""

    keys: Tensor
    values: Tensor


class TokenNetwork(Protocol):
    """Tensors that it returns are opaque along their last axis: it may let ride along whatever it needs again later."""

    @property
    def depth(self) -> int:
        """Its layers"""
        ...

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
    """`rule` makes the attention rule of a context length; `context` is how many steps back anything looks. With
    `from_base`, what is asked in one pass is not asked by a query alone: its tokens begin as those of the base
    prediction. Streams `beside` are shown, on the channels of each token that is asked for, what was seen last at its
    place (as Blattmann et al. 2023, Stable Video Diffusion, show the frame that a clip begins with): attention alone
    would have to learn first where that is. They are not shown themselves where they are nothing but noise. The network
    reads twice as many numbers of them."""

    def __init__(
        self,
        network: TokenNetwork,
        streams: Sequence[Stream],
        context: int,
        rule: Callable[[int], Rule] = teacher_forced,
        from_base: bool = False,
        beside: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network, self.context, self.rule, self.from_base = network, context, rule, from_base
        self.beside = tuple(beside)
        self.streams: Sequence[Stream] = streams
        self._layouts: dict[Hashable, _Layout] = {}

    @property
    def tap(self) -> Tap:
        """Where its features are read, unless somebody says otherwise"""
        return Tap.of(self.network.depth)

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def forward(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        device = windows[0].steps.device
        held = [[s for s in self.streams if s.name in w.levels] for w in windows]
        layout = self._layout(held, windows, memory, self.context if condition.context is None else condition.context)
        times = torch.cat([self._times(h, w.steps) for h, w in zip(held, windows)], 1)
        alike = len(times) == 1 or bool((times == times[:1]).all())
        with autocast(device):
            last = self._seen_last(windows, memory)
            x = torch.cat([self._embed(h, w, condition, seen) for h, w, seen in zip(held, windows, last)], 1)
            hidden, kv = self.network(
                x,
                times[0] if alike else times[:, None],
                layout.mask.to(device),
                _past(memory),
                None if tap is None else tap.layer,
                condition,
            )
        pieces = [
            dict(zip([s.name for s in h], piece.unflatten(1, (w.steps.shape[1], -1)).split([s.tokens for s in h], 2)))
            for h, w, piece in zip(held, windows, hidden.split(layout.sizes, 1))
        ]
        if tap is not None:
            return Output([{} for _ in windows], memory, pieces)
        raw = [self._read(h, w, piece) for h, w, piece in zip(held, windows, pieces)]
        begin = 0
        for h, w, size in zip(held, windows, layout.sizes):
            if w.remember:
                memory = memory.add(*_entries(kv, begin, h, w, self.beside))
            begin += size
        return Output(raw, memory)

    def _layout(
        self, held: Sequence[Sequence[Stream]], windows: Sequence[Window], memory: Memory[Entry], context: int
    ) -> "_Layout":
        """Where tokens are and who sees whom, on the clock of the first row. Few layouts come again and again."""
        steps = [w.steps[0].tolist() for w in windows]
        now = steps[0][0]
        past = tuple((e.what, int(e.steps[0]) - now) for e in memory)
        new = tuple(
            (tuple(s.name for s in h), tuple(step - now for step in mine), _asked(h, w), w.remember, w.together)
            for h, mine, w in zip(held, steps, windows)
        )
        if (past, new, context) not in self._layouts:
            if len(self._layouts) >= LAYOUTS:
                self._layouts.clear()
            kept = [([s for s in self.streams if s.name in what], step) for what, step in past]
            seen = [_tokens(h, [step], 0, tuple(s.acts for s in h), True) for h, step in kept]
            parts = [_tokens(h, list(n[1]), i + 1, *n[2:]) for i, (h, n) in enumerate(zip(held, new))]
            mask = self.rule(context)(Tokens.cat(parts), Tokens.cat([*seen, *parts]))
            self._layouts[past, new, context] = _Layout(mask, [len(p.step) for p in parts])
        return self._layouts[past, new, context]

    def _times(self, streams: Sequence[Stream], steps: Tensor) -> Tensor:
        """(B, S) when each token is, in steps."""
        if not any(s.offsets for s in streams):
            return steps.repeat_interleave(sum(s.tokens for s in streams), 1)
        offsets = [o for s in streams for o in (s.offsets or (0.0,) * s.tokens)]
        return (steps[..., None] + torch.tensor(offsets, device=steps.device)).flatten(1)

    def _seen_last(self, windows: Sequence[Window], memory: Memory[Entry]) -> list[Values]:
        """For each window (B, N, T, C) of the streams that stand beside its tokens: what was seen last before each step
        of a question, before its first one where its steps are one clip. History has nothing beside it."""
        if not self.beside:
            return [{} for _ in windows]
        seen = [(int(e.steps[0]), {n: e.kept[SEEN + n] for n in self.beside if SEEN + n in e.kept}) for e in memory]
        for w in (w for w in windows if w.remember):
            for i, step in enumerate(w.steps[0].tolist()):
                seen.append((step, {name: w.values[name][:, i] for name in self.beside if name in w.values}))
        out: list[Values] = []
        for w in windows:
            steps = w.steps[0].tolist() if not w.remember else []
            if w.together:
                steps = steps[:1] * len(steps)
            last = [next((values for at, values in reversed(seen) if at < step), {}) for step in steps]
            known = [name for name in self.beside if last and all(name in values for values in last)]
            out.append({name: torch.stack([values[name] for values in last], 1) for name in known})
        return out

    def _embed(self, streams: Sequence[Stream], window: Window, condition: Condition, seen: Values) -> Tensor:
        values, parts = dict(window.values), []
        for s in streams:
            if s.derive is not None and (derived := s.derive(window.values)) is not None:
                values[s.name] = derived
            x, level = values.get(s.name), window.levels[s.name]
            if x is None:
                level = torch.ones_like(level)
            missing = window.present.get(s.name)
            if self.from_base and s.corruption.one_pass and s.name in window.base:
                x, missing = _begun(x, level, window.base[s.name]), None
            if x is not None and s.name in self.beside:
                x = torch.where(level[..., None, None] < 1, x, 0.0)  # pure noise says nothing, and would go along
                x = torch.cat([x, seen[s.name] if s.name in seen else torch.zeros_like(x)], -1)
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


def _begun(x: Tensor | None, level: Tensor, base: Tensor) -> Tensor:
    """The base prediction (B, N, T, C) wherever values are not given."""
    return base if x is None else torch.where(level[..., None, None] < 1, x, base)


def _past(memory: Memory[Entry]) -> KV | None:
    if not memory.entries:
        return None
    keys, values = (torch.cat([e.kept[name] for e in memory], -2).transpose(0, 1) for name in KV._fields)
    return KV(keys, values)


@dataclass(frozen=True, eq=False)
class _Layout:
    mask: Tensor
    """(S, P + S) True where a token may look"""
    sizes: list[int]
    """Tokens of each window"""


def _asked(streams: Sequence[Stream], window: Window) -> tuple[bool, ...]:
    """Of each stream: whether the robot does it, and in a question is not told what."""
    return tuple(s.acts and (window.remember or not _given(s, window)) for s in streams)


def _given(stream: Stream, window: Window) -> bool:
    """Told as it is, wherever it was recorded."""
    told = window.levels[stream.name] == 0
    return bool((told | ~window.present[stream.name] if stream.name in window.present else told).all())


def _tokens(
    streams: Sequence[Stream],
    steps: list[int],
    copy: int,
    asked: tuple[bool, ...],
    remember: bool,
    together: bool = False,
) -> Tokens:
    tokens = sum(s.tokens for s in streams)
    step = torch.tensor(steps).repeat_interleave(tokens)
    first = torch.full_like(step, steps[0]) if together and not remember else step
    acts = torch.cat([torch.full((s.tokens,), a) for s, a in zip(streams, asked)]).repeat(len(steps))
    unseen = torch.cat([torch.full((s.tokens,), not s.seen) for s in streams]).repeat(len(steps))
    return Tokens(step, torch.full_like(step, 0 if remember else copy), first, acts, unseen)


def _entries(kv: KV, begin: int, streams: Sequence[Stream], window: Window, beside: Sequence[str]) -> list[Entry]:
    """An entry for each step; nobody looks at an unseen token, so it is not worth a place."""
    what = tuple(s.name for s in streams if s.seen)
    each = sum(s.tokens for s in streams)
    seen = [i for i, s in enumerate(x for x in streams for _ in range(x.tokens)) if s.seen]
    in_a_row = len(seen) == seen[-1] - seen[0] + 1  # then a view does, and training pays nothing for its memory
    out = []
    for i in range(window.steps.shape[1]):
        start = begin + i * each
        if in_a_row:
            parts = [x.narrow(-2, start + seen[0], len(seen)) for x in kv]
        else:
            keep = torch.tensor(seen, device=window.steps.device) + start
            parts = [x.index_select(-2, keep) for x in kv]
        kept = {name: x.transpose(0, 1) for name, x in zip(KV._fields, parts)}
        kept |= {SEEN + name: window.values[name][:, i] for name in beside if name in window.values}
        out.append(Entry(window.steps[:, i], kept, what))
    return out
