"""Is the cache right, and what does it save? A session against a recomputation of everything from raw tokens.

The recomputation knows the backbone and nothing of sessions: all blocks since the beginning are one window of history,
in every pass.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import presage.networks.packed as packed
from presage.benchmarks.common import BenchArgs
from presage.networks.base import value_of
from presage.networks.names import VALUE
from presage.networks.world_model import WorldModel
from presage.timeline.backbone import Window
from presage.timeline.levels import Schedule
from presage.timeline.memory import Memory
from presage.timeline.noise import draw, streams
from presage.timeline.sampler import predict
from presage.timeline.session import Session
from presage.timeline.streams import Values
from presage.training.checkpoint import load_model

CHUNKS = 50
GROUNDED = 3
"""Of every ten blocks this many are observed, the rest imagined: dreams and their re-grounding are both compared."""
SCHEDULE = Schedule.joint(2)


class Uncached:
    """A session without a memory: it keeps values, and has all of them read again in every pass, as training does.

    Args:
        reach: keep this many newest blocks only; None: all since the beginning.
    """

    def __init__(self, model: WorldModel, instructions: list[str], seed: int, reach: int | None = None) -> None:
        self.model, self.condition, self.reach = model, model.condition(instructions), reach
        self.noise = streams(seed, len(instructions))
        self.history: list[tuple[int, Values]] = []
        self.carried: Tensor | None = None

    @torch.inference_mode()
    def append(self, values: Values) -> Tensor:
        """Append a clean block; returns its value (B,)."""
        index, before = (self.history[-1][0] + 1, self.history[-1][1]) if self.history else (0, {})
        self.carried = self.model.base.remember(values, before, self.carried)
        self.history = [*self.history, (index, values)][-(self.reach or len(self.history) + 1) :]
        out = self.model.backbone([as_history(self.model, self.history)], Memory(), self.condition)
        return out.raw[0][VALUE][:, -1, 0, 0].clamp(0, 1)

    @torch.inference_mode()
    def imagine(self, schedule: Schedule) -> Values:
        """Denoise the next block, of which nothing is given."""
        model, (index, newest) = self.model, self.history[-1]
        imagined, steps = [s for s in model.streams if s.imagined], torch.full((1, 1), index + 1, device=model.device)
        walks = schedule.walks(model.streams)
        x = {s.name: draw(self.noise, (1, s.tokens, s.dim), model.device) for s in imagined}
        base: Values = {}
        for i in range(schedule.steps):
            now, to = ({name: torch.tensor([[w[i + k]]]) for name, w in walks.items()} for k in (0, 1))
            question = Window(x, now, steps, quality=torch.ones(1, 1, device=model.device))
            if not i:
                carried = None if self.carried is None else self.carried[:, None]
                base = model.base({name: v[:, None] for name, v in newest.items()}, carried, question, self.condition)
            raw = model.backbone([as_history(model, self.history), question], Memory(), self.condition).raw[1]
            for s in imagined:
                clean = predict(s, raw[s.name], x[s.name], now[s.name], base.get(s.name))
                x[s.name] = s.corruption.step(x[s.name], clean, now[s.name], to[s.name])
        return {name: v[:, 0] for name, v in x.items()}


def as_history(model: WorldModel, blocks: Sequence[tuple[int, Values]]) -> Window:
    """All blocks (index, values) of one row as one window of history."""
    steps = torch.tensor([[index for index, _ in blocks]], device=model.device)
    values, present = {}, {}
    for s in (s for s in model.streams if s.imagined):
        blank = torch.zeros(1, s.tokens, s.dim, device=model.device)
        values[s.name] = torch.stack([block.get(s.name, blank) for _, block in blocks], 1)
        present[s.name] = torch.tensor([[s.name in block for _, block in blocks]], device=model.device)
    levels = {s.name: torch.ones(steps.shape, device=model.device) * s.asked for s in model.streams}
    levels |= {name: (~there).float() for name, there in present.items()}
    return Window(values, levels, steps, remember=True, present=present)


def run(args: BenchArgs) -> dict[str, Any]:
    """`max_abs_difference` over all tokens and values of 50 chunks in fp32; latencies of one chunk (observe, then a
    two-step joint imagination) at the 16th and the 256th."""
    model = load_model(args.checkpoint, args.device)
    chunks = 12 if args.quick else CHUNKS
    far = 32 if args.quick else 256
    repeats = 3 if args.quick else 20
    with full_precision():
        difference = largest_difference(model, chunks, args.seed)
        near_s, far_s = cached_latency(model, (16, far), repeats, args.seed)
        # Nothing before this many blocks can reach the newest one: the cheapest exact recomputation.
        reach = model.config.layers * model.config.window + 1
        everything_s = uncached_latency(model, far, None, max(1, repeats // 10), args.seed)
        reach_s = uncached_latency(model, far, reach, repeats, args.seed)
    return {
        "max_abs_difference": difference,
        "latency_ratio_256_16": far_s / near_s,
        "speedup_256": everything_s / far_s,
        "speedup_256_receptive_field": reach_s / far_s,
        "cached_ms_16": 1000 * near_s,
        "cached_ms_256": 1000 * far_s,
        "uncached_ms_256": 1000 * everything_s,
        "receptive_field_ms_256": 1000 * reach_s,
        "receptive_field_blocks": reach,
        "chunks": chunks,
        "window": model.config.window,
    }


@contextmanager
def full_precision() -> Iterator[None]:
    """Sessions compute in fp32 even where the device would use bf16: rounding is not what is measured."""
    usual = packed.autocast
    packed.autocast = lambda device: nullcontext()  # type: ignore[assignment, return-value]
    try:
        yield
    finally:
        packed.autocast = usual


def random_block(model: WorldModel, generator: torch.Generator, first: bool) -> Values:
    """Tokens of one observed block: unit noise, which is what the codecs normalise to."""
    out = {}
    for s in model.streams:
        if s.imagined and not (first and s.acts):
            out[s.name] = torch.randn((1, s.tokens, s.dim), generator=generator).to(model.device)
    return out


def largest_difference(model: WorldModel, chunks: int, seed: int) -> float:
    """Largest absolute difference of any token or value over `chunks` blocks. Each side lives in its own dream."""
    generator = torch.Generator().manual_seed(seed)
    cached, uncached = Session(model, ["open the drawer"], seed=seed), Uncached(model, ["open the drawer"], seed)
    worst = 0.0
    dream: Values = {}
    other: Values = {}
    for i in tqdm(range(chunks), desc="cached against recomputed", unit="chunk"):
        if i % 10 < GROUNDED:
            truth = random_block(model, generator, first=i == 0)
            cached.append(truth)
            value, other_value = value_of(cached), uncached.append(truth)
        else:
            cached.append(dream, imagined=True)
            value, other_value = value_of(cached), uncached.append(other)
        dream, other = cached.imagine(SCHEDULE).values, uncached.imagine(SCHEDULE)
        pairs = [(dream[name], other[name]) for name in other] + [(value, other_value)]
        worst = max([worst, *[float((a - b).abs().max()) for a, b in pairs]])
    return worst


def cached_latency(model: WorldModel, at: tuple[int, int], repeats: int, seed: int) -> tuple[float, float]:
    """Median seconds of one chunk around two positions, measured in turns so that both see the same machine."""
    generator = torch.Generator().manual_seed(seed)
    sessions = []
    for position in at:
        session = Session(model, ["open the drawer"], seed=seed)
        for i in range(position):
            session.append(random_block(model, generator, first=i == 0))
        sessions.append(session)
    block = random_block(model, generator, first=False)
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats + 2):
        for session, out in zip(sessions, seconds, strict=True):
            past = session.past
            out.append(_time(lambda session=session: (session.append(block), session.imagine(SCHEDULE))))  # type: ignore[misc]
            session.past = past  # not `rewind`: the block that was evicted comes back too
    return float(np.median(seconds[0][2:])), float(np.median(seconds[1][2:]))


def uncached_latency(model: WorldModel, position: int, reach: int | None, repeats: int, seed: int) -> float:
    """Median seconds of the same chunk when the past is computed again in every pass."""
    generator = torch.Generator().manual_seed(seed)
    session = Uncached(model, ["open the drawer"], seed, reach)
    history = [(i, random_block(model, generator, first=i == 0)) for i in range(position)]
    session.history = history[-(reach or position) :]
    block = random_block(model, generator, first=False)
    seconds = []
    for _ in range(repeats):
        seconds.append(_time(lambda: (session.append(block), session.imagine(SCHEDULE))))
        session.history.pop()
    return float(np.median(seconds))


def _time(call: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
