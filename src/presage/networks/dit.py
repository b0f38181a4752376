"""A transformer that denoises one step, and learns of the past beside its tokens: in adaptive layer norms, or on
channels (Peebles & Xie 2023, DiT, with the blocks that they call adaLN-Zero).

What it keeps of history are the values themselves; the newest step before a question is all that it looks at. Within a
question every token sees every other.

Shapes: B batch, N steps, R = B * N questions of one step, S tokens of a question, T tokens of a stream, C numbers a
token, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.device import autocast
from presage.networks.embedding import waves
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values

FREQUENCIES = 32


@dataclass(frozen=True)
class DiTConfig:
    width: int = 160
    layers: int = 6
    heads: int = 4
    mlp: int = 4
    """Hidden width of the feed-forward layers as a multiple of `width`"""
    text_dim: int = 256
    told: tuple[str, ...] = ()
    """Streams of the newest step that are read into one vector, which modulates every layer (Zhu et al. 2025, UWM)"""
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Stream -> streams of the newest step, of as many tokens, that stand beside its own on their channels (Guo et al.
    2024, PAD)"""
    registers: int = 0
    """Tokens that stand for nothing, where layers can keep what concerns all (Darcet et al. 2024)"""
    hide_missing: bool = False
    """Nobody looks at a stream that was not recorded; else it is noise of level 1, as for a session that does not
    know it"""


class _Block(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d)
        self.up = nn.Linear(d, config.mlp * d)
        self.down = nn.Linear(config.mlp * d, d)
        self.modulation = nn.Linear(d, 6 * d)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x_RSD: Tensor, told_RD: Tensor, bias: Tensor | None) -> Tensor:
        r, s, d = x_RSD.shape
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.modulation(told_RD)[:, None].chunk(6, -1)
        qkv = self.qkv(_modulated(x_RSD, shift, scale)).view(r, s, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Plain products: on a CPU the fused kernel's backward pass is slower than these two lines.
        scores = (q * (d // self.heads) ** -0.5) @ k.transpose(-1, -2)
        mixed = (scores if bias is None else scores + bias).softmax(-1) @ v
        x_RSD = x_RSD + gate * self.out(mixed.transpose(1, 2).reshape(r, s, d))
        return x_RSD + gate_mlp * self.down(F.gelu(self.up(_modulated(x_RSD, shift_mlp, scale_mlp))))


class _Reader(nn.Module):
    """The tokens of a stream (R, T, C) as one vector (R, D)."""

    def __init__(self, stream: Stream, width: int) -> None:
        super().__init__()
        self.each = nn.Linear(stream.dim, width // 2)
        self.all = nn.Linear(stream.tokens * (width // 2), width)

    def forward(self, x_RTC: Tensor) -> Tensor:
        return self.all(F.gelu(self.each(x_RTC)).flatten(1))


class DiT(nn.Module):
    """Implements `timeline.backbone.Backbone`.

    Raises:
        ValueError: a stream stands beside one of another number of tokens.
    """

    def __init__(self, config: DiTConfig, streams: Sequence[Stream]) -> None:
        super().__init__()
        self.config = config
        self.streams: Sequence[Stream] = streams
        d, by_name = config.width, {s.name: s for s in streams}
        for name, others in config.beside.items():
            for other in others:
                if by_name[other].tokens != by_name[name].tokens:
                    raise ValueError(f"{other} has not as many tokens as {name}, beside which it stands")
        self._beside = {s.name: tuple(config.beside.get(s.name, ())) for s in streams}
        self._keys = {s.name: s.name.replace(".", "_") for s in streams}  # no name of a module has a dot
        dims = {s.name: s.dim + sum(by_name[o].dim for o in self._beside[s.name]) for s in streams}
        self.inputs = nn.ModuleDict({self._keys[name]: nn.Linear(dim, d) for name, dim in dims.items()})
        self.outputs = nn.ModuleDict({self._keys[s.name]: nn.Linear(d, s.dim) for s in streams})
        self.positions = nn.ParameterDict(
            {self._keys[s.name]: nn.Parameter(torch.randn(s.tokens, d) * 0.02) for s in streams}
        )
        self.registers = nn.Parameter(torch.randn(config.registers, d) * 0.02)
        self.readers = nn.ModuleDict({self._keys[name]: _Reader(by_name[name], d) for name in config.told})
        self.level = nn.Linear(2 * FREQUENCIES * len(streams), d)
        self.text = nn.Linear(config.text_dim, d)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(d, d), nn.SiLU())
        self.blocks = nn.ModuleList([_Block(config) for _ in range(config.layers)])
        self.last = nn.Linear(d, 2 * d)
        for zero in (self.last, *self.outputs.values()):
            assert isinstance(zero, nn.Linear)
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def forward(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        """Answers of questions.

        Raises:
            ValueError: a question is a clip of several steps.
        """
        hidden: list[Values] = []
        raw: list[Values] = []
        for window in windows:
            if window.remember:
                memory = memory.add(*self._entries(window))
                hidden.append({})
                raw.append({})
                continue
            with autocast(window.steps.device):
                hidden.append(self._question(window, memory, condition, None if tap is None else tap.layer))
                asked = [name for name in hidden[-1] if bool(window.levels[name].any())]
                raw.append({name: self.outputs[self._keys[name]](hidden[-1][name]).float() for name in asked})
        if tap is not None:
            return Output([{} for _ in windows], memory, hidden)
        return Output(raw, memory)

    def _entries(self, window: Window) -> list[Entry]:
        """An entry for each step: values, 0 where they were not recorded."""
        others = {other for names in self._beside.values() for other in names}
        names = [s.name for s in self.streams if s.name in window.values and s.name in {*self.config.told, *others}]
        values = {name: window.values[name] for name in names}
        for name in names:
            if name in window.present:
                values[name] = torch.where(window.present[name][..., None, None], values[name], 0.0)
        steps = range(window.steps.shape[1])
        return [Entry(window.steps[:, n], {k: x[:, n] for k, x in values.items()}, tuple(names)) for n in steps]

    def _question(self, window: Window, memory: Memory[Entry], condition: Condition, layers: int | None) -> Values:
        """Hidden states (B, N, T, D) of each stream, after so many layers or as the outputs read them."""
        b, n = window.steps.shape
        if window.together and n > 1:
            raise ValueError(f"a question of {n} steps: this network denoises one at a time")
        newest = [_newest(memory, int(step)) for step in window.steps[0]]
        held = [s for s in self.streams if s.name in window.levels]
        tokens = [self._tokens(s, window, self._seen(newest, b)) for s in held]
        x = torch.cat([*tokens, self.registers.expand(b * n, -1, -1)], 1)
        told = self._told(window, self._seen(newest, b), condition)
        bias = self._bias(held, window) if self.config.hide_missing else None
        for block in self.blocks[:layers]:
            x = block(x, told, bias)
        if layers is None:
            x = _modulated(x, *self.last(told)[:, None].chunk(2, -1))
        parts = x.split([*[s.tokens for s in held], self.config.registers], 1)
        return {s.name: part.unflatten(0, (b, n)) for s, part in zip(held, parts)}

    def _seen(self, newest: Sequence[Entry | None], batch: int) -> dict[str, Tensor]:
        """Values (R, T, C) of the newest step before each question; nothing where there is none."""
        entries = [e for e in newest if e is not None]
        if len(entries) < len(newest):
            return {}
        return {name: torch.stack([e.kept[name] for e in entries], 1).flatten(0, 1) for name in entries[0].what}

    def _tokens(self, stream: Stream, window: Window, seen: Mapping[str, Tensor]) -> Tensor:
        level = window.levels[stream.name].flatten()
        empty = torch.zeros(len(level), stream.tokens, 1, device=level.device)
        x = window.values.get(stream.name)
        parts = [empty.expand(-1, -1, stream.dim) if x is None else x.flatten(0, 1)]
        by_name = {s.name: s for s in self.streams}
        parts += [seen.get(o, empty.expand(-1, -1, by_name[o].dim)) for o in self._beside[stream.name]]
        key = self._keys[stream.name]
        return self.inputs[key](torch.cat(parts, -1)) + self.positions[key]

    def _told(self, window: Window, seen: Mapping[str, Tensor], condition: Condition) -> Tensor:
        """(R, D) levels, words and what was seen; what a question does not hold is unknown."""
        n = window.steps.shape[1]
        unknown = torch.ones(window.steps.shape, device=window.steps.device)
        levels = [waves(window.levels.get(s.name, unknown).flatten(), FREQUENCIES) for s in self.streams]
        told = self.level(torch.cat(levels, -1)) + self.text(condition.text).repeat_interleave(n, 0)
        for name in self.config.told:
            if name in seen:
                told = told + self.readers[self._keys[name]](seen[name])
        return self.mix(told)

    def _bias(self, held: Sequence[Stream], window: Window) -> Tensor:
        """(R, 1, 1, S) nobody looks at tokens that were not recorded. Registers always are there; where nothing is, a
        finite number keeps the softmax finite."""
        r = window.steps.numel()
        there = [
            window.present[s.name].flatten() if s.name in window.present else window.steps.flatten() >= 0 for s in held
        ]
        columns = [x[:, None].expand(r, s.tokens) for s, x in zip(held, there)]
        mask = torch.cat([*columns, torch.ones(r, self.config.registers, device=columns[0].device).bool()], 1)
        return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -1e4)[:, None, None]


def _newest(memory: Memory[Entry], step: int) -> Entry | None:
    """The newest entry before a step, on the clock of the first row."""
    before = [entry for entry in memory if int(entry.steps[0]) < step]
    return max(before, key=lambda entry: int(entry.steps[0])) if before else None


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift
