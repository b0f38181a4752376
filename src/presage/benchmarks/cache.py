"""Is the cache right, and what does it save? A session against a recomputation of everything from raw tokens.

The recomputation knows the network and the attention rule and nothing of sessions: one sequence of all blocks since the
beginning, one dense mask, in every pass.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import presage.timeline.session as session_module
from presage.benchmarks.common import BenchArgs
from presage.networks.names import ACTION, PROGRESS
from presage.networks.world_model import WorldModel
from presage.timeline.attention import Tokens, timeline_rule
from presage.timeline.levels import Schedule
from presage.timeline.noise import draw, streams
from presage.timeline.sampler import euler_step
from presage.timeline.session import LIMIT, Session
from presage.timeline.streams import Stream, Values, expected, remembered
from presage.training.checkpoint import load_model

CHUNKS = 50
GROUNDED = 3
"""Of every ten blocks this many are observed, the rest imagined: dreams and their re-grounding are both compared."""
PLAN = Schedule.joint(2)


class Uncached:
    """A session without a memory of keys and values: it keeps tokens, and computes all of them again in every pass.

    Args:
        reach: keep this many newest blocks only; None: all since the beginning.
    """

    def __init__(self, model: WorldModel, instructions: list[str], seed: int, reach: int | None = None) -> None:
        self.model, self.text, self.reach = model, model.embed_text(instructions), reach
        self.noise = streams(seed, len(instructions))
        self.history: list[tuple[int, Values]] = []
        self.memory: Tensor | None = None

    @torch.inference_mode()
    def append(self, values: Values) -> Tensor:
        """Append a clean block; returns its progress (B,)."""
        index, before = (self.history[-1][0] + 1, self.history[-1][1]) if self.history else (0, {})
        self.memory = remembered(self.model, values, before, self.memory)
        self.history = [*self.history, (index, values)][-(self.reach or len(self.history) + 1) :]
        hidden = self._pass(self.model.streams, None)
        return self.model.network.read(PROGRESS, hidden[PROGRESS]).float()[:, 0, 0].clamp(0, 1)

    @torch.inference_mode()
    def imagine(self, plan: Plan) -> Values:
        """Denoise the next block (`plan.video` is not None)."""
        assert plan.video is not None
        streams = [s for s in self.model.streams if not s.is_query]
        denoised = [s for s in streams if s.is_denoised]
        x = {s.name: draw(self.noise, (s.tokens, s.dim), self.model.device) for s in denoised}
        foreseen = expected(self.model, self.history[-1][1], self.memory, self.text)
        for i in range(plan.steps):
            hidden = self._pass(streams, (x, plan.video[i], plan.action[i]))
            for s in denoised:
                levels = plan.action if s.kind == ACTION else plan.video
                clean = self.model.predict(s, hidden[s.name], foreseen.get(s.name)).clamp(-LIMIT, LIMIT)
                x[s.name] = euler_step(x[s.name], clean, levels[i], levels[i + 1])
        return x

    def _pass(self, wanted: list[Stream], noisy: tuple[Values, float, float] | None) -> dict[str, Tensor]:
        """One pass over all blocks (and the noisy one): hidden states of the streams of the last block."""
        model = self.model
        parts, tokens = [], []
        for index, values in self.history:
            values = model.with_views(values)
            parts += [self._embed(s, values.get(s.name), 0.0, 0.0, clean=True) for s in model.streams]
            tokens.append(block_tokens(model.streams, index, 0, model.device))
        if noisy is not None:
            x, video, action = model.with_views(noisy[0]), *noisy[1:]
            parts += [self._embed(s, x[s.name], video, action, clean=False) for s in wanted]
            tokens.append(block_tokens(wanted, self.history[-1][0] + 1, 1, model.device))
        flat = Tokens.cat(tokens)
        mask = timeline_rule(model.config.window)(flat, flat)
        hidden, _ = model.network(torch.cat(parts, 1), flat.block, mask, text=self.text)
        sizes = [s.tokens for s in wanted]
        newest = hidden[:, -sum(sizes) :].split(sizes, 1)
        return {s.name: h for s, h in zip(wanted, newest, strict=True)}

    def _embed(self, stream: Stream, value: Tensor | None, video: float, action: float, clean: bool) -> Tensor:
        batch, device = len(self.text), self.model.device
        level = 1.0 if value is None else action if stream.kind == ACTION else video
        levels = torch.full((batch, 1), level, device=device)
        quality = None if clean else torch.ones((batch, 1), device=device)
        value_BNTC = None if value is None else value[:, None]
        return self.model.network.embed(stream.name, value_BNTC, levels, self.text, quality)[:, 0]


def run(args: BenchArgs) -> dict[str, Any]:
    """`max_abs_difference` over all tokens and progress of 50 chunks in fp32; latencies of one chunk (observe, then a
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
    usual = session_module.autocast
    session_module.autocast = lambda device: nullcontext()  # type: ignore[assignment, return-value]
    try:
        yield
    finally:
        session_module.autocast = usual


def random_block(model: WorldModel, generator: torch.Generator, first: bool) -> Values:
    """Tokens of one observed block: unit noise, which is what the codecs normalise to."""
    out = {}
    for s in model.streams:
        if s.is_denoised and not (first and s.kind == ACTION):
            out[s.name] = torch.randn((1, s.tokens, s.dim), generator=generator).to(model.device)
    return out


def largest_difference(model: WorldModel, chunks: int, seed: int) -> float:
    """Largest absolute difference of any token or progress over `chunks` blocks. Each side lives in its own dream."""
    generator = torch.Generator().manual_seed(seed)
    cached, uncached = Session(model, ["open the drawer"], seed=seed), Uncached(model, ["open the drawer"], seed)
    worst = 0.0
    dream: Values = {}
    other: Values = {}
    for i in tqdm(range(chunks), desc="cached against recomputed", unit="chunk"):
        if i % 10 < GROUNDED:
            truth = random_block(model, generator, first=i == 0)
            progress, other_progress = cached.append(truth).progress, uncached.append(truth)
        else:
            progress, other_progress = cached.append(dream, imagined=True).progress, uncached.append(other)
        dream, other = cached.imagine(PLAN).values, uncached.imagine(PLAN)
        pairs = [(dream[name], other[name]) for name in other] + [(progress, other_progress)]
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
            past = list(session.blocks)
            out.append(_time(lambda session=session: (session.append(block), session.imagine(PLAN))))  # type: ignore[misc]
            session.blocks = past  # not `rewind`: the block that was evicted comes back too
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
        seconds.append(_time(lambda: (session.append(block), session.imagine(PLAN))))
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
