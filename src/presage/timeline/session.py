"""A session: one batched imagination that can be grounded.

    s = Session(model, instructions)
    s.observe(observation)                     # append truth
    dream = s.imagine(Plan.joint(4))           # one block of future: video, action, state, progress
    s.observe(next_observation, executed)      # truth again: whatever was imagined is dropped

The past is a list of blocks, each with its keys and values. So eviction pops the head, `rewind` cuts the tail, `fork`
shares the list, and re-grounding is appending: nothing is ever re-indexed, because time enters by absolute block index.
A row's noise is its own (`noise.py`), so what a row becomes does not depend on the rows beside it.

Shapes: B batch, T tokens of a stream, C numbers per token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from presage.device import autocast
from presage.networks.transformer import KV
from presage.networks.world_model import WorldModel
from presage.timeline.attention import timeline_rule
from presage.timeline.expectation import Values, critic_inputs, expected, moved, proposed, remembered
from presage.timeline.levels import Plan
from presage.timeline.noise import Seed, children, draw, streams
from presage.timeline.sampler import euler_step
from presage.timeline.streams import ACTION, PROGRESS, STATE, VIDEO, Stream, Tokens, block_tokens

LIMIT = 6.0
"""No clean token is further from 0: tokens have unit variance, and one number in ten thousand of real frames lies
beyond. Frames that are predicted as changes of imagined ones would otherwise grow without bound where a dream goes
wrong."""


@dataclass(frozen=True, eq=False)
class Block:
    """One clean block of the past: `(action that led here, what was seen)`."""

    index: int
    values: Values
    kv: KV
    tokens: Tokens
    progress: Tensor
    """(B,) predicted progress at this frame, in [0, 1]."""
    memory: Tensor | None
    """(B, M) what kinematics remember here; None where there is no state."""
    imagined: bool

    def each(self, pick: Callable[[Tensor, int], Tensor]) -> "Block":
        """The block with `pick(x, dim)` for every x of its tensors, whose rows are along `dim`."""
        return replace(
            self,
            values={name: pick(x, 0) for name, x in self.values.items()},
            kv=KV(pick(self.kv.keys, 1), pick(self.kv.values, 1)),
            progress=pick(self.progress, 0),
            memory=None if self.memory is None else pick(self.memory, 0),
        )


@dataclass(frozen=True)
class Imagination:
    """One imagined block. `values` are tokens; the model's decode_* turn them into images, actions and states."""

    values: Values
    plan: Plan = field(repr=False)


class Session:
    """B imaginations in lock step over one model.

    Args:
        model: in eval mode.
        instructions: one per batch row, or their embeddings.
        quality: how well the imagined robot behaves: 1 like the expert, 0 like disturbed or random data.
        seed: of the sampler's noise. Every row draws from a stream of its own: of the seed and its place in the batch,
            or of its own seed alone where there is one a row.
        window: blocks of past that are seen; the model's by default. With 0 only the newest frame counts, and neither
            what came before it nor the action that led to it: for policies, which otherwise learn to repeat themselves.
            Kinematics remember: where the robot goes depends on how it moved.
    """

    def __init__(
        self,
        model: WorldModel,
        instructions: list[str] | Tensor,
        quality: float = 1.0,
        seed: int | Sequence[Seed] = 0,
        window: int | None = None,
    ) -> None:
        self.model = model
        self.text = instructions if isinstance(instructions, Tensor) else model.embed_text(instructions)
        self.quality = quality
        self.noise = streams(seed, len(self.text))
        self.blocks: list[Block] = []
        self.window = model.config.window if window is None else window
        self._rule = timeline_rule(self.window)
        self._shift_B11: Tensor | None = None  # of the rows' clocks, where they differ (`joined.py`)

    @property
    def batch(self) -> int:
        return len(self.text)

    @property
    def step(self) -> int:
        """Index of the newest block; -1 before the first observation."""
        return self.blocks[-1].index if self.blocks else -1

    @property
    def grounded(self) -> int:
        """Index of the newest real block; -1 where there is none."""
        return max((b.index for b in self.blocks if not b.imagined), default=-1)

    @property
    def last(self) -> Block:
        return self.blocks[-1]

    @property
    def reach(self) -> int:
        """How many blocks back anything looks: an imagination sees at least the newest."""
        return max(1, self.window)

    # -- the past -----------------------------------------------------------------------------------------------------

    def observe(self, observation: dict[str, np.ndarray], executed: np.ndarray | None = None) -> Block:
        """Append a real frame and the chunk (B, chunk, A) that led to it; imagined blocks at the tail are dropped
        first.

        Returns the block, whose `progress` is the predicted value of what is seen.

        Raises:
            UserError: a camera, the state's or the action's size does not fit the model.
        """
        while self.blocks and self.blocks[-1].imagined:
            self.blocks.pop()
        values = self.model.encode_images(observation)
        if self.model.config.state_dim:
            values[STATE] = self.model.encode_state(observation["state"])
        if executed is not None:
            values[ACTION] = self.model.encode_action(executed)
        return self.append(values)

    @torch.inference_mode()
    def append(self, values: Values, imagined: bool = False) -> Block:
        """Append tokens as clean past."""
        before, memory = (self.last.values, self.last.memory) if self.blocks else ({}, None)
        memory = remembered(self.model, values, before, memory)
        self.blocks.append(Block(self.step + 1, dict(values), *self._read(values, self.step + 1), memory, imagined))
        self._evict()
        return self.last

    @torch.inference_mode()
    def instruct(self, instructions: list[str] | Tensor) -> None:
        """Tell other words. The past that is kept was read under the old ones, so it is read again."""
        text = instructions if isinstance(instructions, Tensor) else self.model.embed_text(instructions)
        if torch.equal(text, self.text):
            return
        self.text, past, self.blocks = text, self.blocks, []
        for block in past:
            kv, tokens, progress = self._read(block.values, block.index)
            self.blocks.append(replace(block, kv=kv, tokens=tokens, progress=progress))

    def _evict(self) -> None:
        """Drop what no future token can see. Truth is kept for twice the window, so that a dream of any length can be
        dropped, and a session rewound by up to a window, without losing context."""
        window, grounded = self.reach, self.grounded
        self.blocks = [
            b
            for b in self.blocks
            if b.index > self.step - window or (not b.imagined and b.index > grounded - 2 * window)
        ]

    def rewind(self, step: int) -> None:
        """Forget every block after `step`.

        Raises:
            ValueError: the step's own context was evicted.
        """
        indices = [b.index for b in self.blocks]
        first = max(0, step + 1 - self.reach)
        if step < 0 or any(i not in indices for i in range(first, step + 1)):
            raise ValueError(f"cannot rewind to step {step}: its context has been evicted, only {indices} are kept")
        self.blocks = [b for b in self.blocks if b.index <= step]

    def fork(self, n: int, seed: int | None = None) -> "Session":
        """n futures of every batch row, as a session of batch B * n (row b's futures are b*n ... b*n + n - 1).

        The past is shared where it can be: a batch of one is expanded without a copy. Each future draws its own noise,
        and forking again gives others; with a `seed`, the same ones each time.
        """
        other = object.__new__(Session)
        other.__dict__.update(self.__dict__)
        other.text = _repeat(self.text, 0, n)
        other.noise = children(self.noise, n, seed)
        other._shift_B11 = None if self._shift_B11 is None else _repeat(self._shift_B11, 0, n)
        other.blocks = [b.each(lambda x, dim: _repeat(x, dim, n)) for b in self.blocks]
        return other

    def keep(self, rows: list[int] | np.ndarray) -> None:
        """Drop all but `rows` of the batch, so that finished episodes cost nothing. Kept rows go on as they would
        have."""
        kept = np.arange(self.batch)[rows]
        index = torch.from_numpy(kept).to(self.model.device)
        self.text, self.noise = self.text[index], [self.noise[row] for row in kept]
        self._shift_B11 = None if self._shift_B11 is None else self._shift_B11[index]
        self.blocks = [b.each(lambda x, dim: x.index_select(dim, index)) for b in self.blocks]

    # -- the future ---------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def imagine(self, plan: Plan, given: Values | None = None) -> Imagination:
        """Denoise the next block by `plan`. `given` are tokens of the streams that the plan holds at level 0. Where the
        action is given and the state is not, the state is the one that the action leads to (`moved`).

        The session itself does not change: `append(imagination.values, imagined=True)` takes the step.

        Raises:
            ValueError: the plan starts a stream at level 0 that is not given, one at level 1 that is, or in between.
        """
        given = dict(given or {})
        if ACTION in given and STATE not in given and (state := self.moved(given[ACTION])) is not None:
            given[STATE] = state
        streams = [s for s in self.model.streams if s.kind == ACTION or (plan.video is not None and not s.is_query)]
        video = plan.video or plan.action
        levels = {s.name: plan.action if s.kind == ACTION else video for s in streams}
        if STATE in given:
            levels[STATE] = (0.0,) * (plan.steps + 1)
        x = self._start(streams, levels, given)
        foreseen: Values = {}  # only what the plan needs: carrying the robot costs two passes of the renderer
        if plan.video is None:
            foreseen = self.proposed()
        elif plan.steps and plan.video[0] > 0:
            foreseen = self.expected(given.get(STATE))
        for i in range(plan.steps):
            now = {name: level[i] for name, level in levels.items()}
            hidden, _, _ = self._run(streams, x, self.step + 1, 1, now)
            for s in [s for s in streams if s.is_denoised]:
                if now[s.name] != levels[s.name][i + 1]:
                    # As in training (`unless_given`): inverse dynamics hears no proposal.
                    unheard = s.kind == ACTION and plan.video is not None and plan.video[i] == 0
                    before = None if unheard else foreseen.get(s.name)
                    clean = self.model.predict(s, hidden[s.name], before).clamp(-LIMIT, LIMIT)
                    x[s.name] = euler_step(x[s.name], clean, now[s.name], levels[s.name][i + 1])
        return Imagination(x, plan)

    def moved(self, action: Tensor) -> Tensor | None:
        """State (B, 1, S) that action tokens (B, 1, A) lead to by kinematics; None where the newest has none."""
        return moved(self.model, self.last.values, self.last.memory, action) if self.blocks else None

    @torch.inference_mode()
    def worth(self, chunks: Tensor) -> Tensor | None:
        """What the critic says (B, M) of M action tokens (B, M, A) after the newest block, higher is better; None where
        the model has none."""
        critic = self.model.critic
        if critic is None:
            return None
        inputs = critic_inputs(self.model, self.last.values, self.last.memory, self.text, chunks)
        return None if inputs is None else critic(*inputs)

    @torch.inference_mode()
    def proposed(self) -> Values:
        """The chunk that the model proposes after the newest block; empty where it proposes none."""
        return proposed(self.model, self.last.values, self.text) if self.blocks else {}

    @torch.inference_mode()
    def expected(self, state: Tensor | None = None) -> Values:
        """What the model expects after the newest block in the simplest case, if it leads to `state`: by default, where
        the chunk leads that is proposed. What it imagines is a change of that."""
        return expected(self.model, self.last.values, self.last.memory, self.text, state) if self.blocks else {}

    @torch.inference_mode()
    def carried(self, action: Tensor, state: Tensor | None = None) -> Values | None:
        """The block that action tokens lead to where nothing is denoised: the state by kinematics (or the one that is
        given), and the frame with the robot carried there. None where the model or the newest block cannot."""
        state = self.moved(action) if state is None else state
        if state is None or self.model.renderer is None or STATE not in self.last.values:
            return None
        shown = {name: x[:, None] for name, x in self.last.values.items()}
        frames = self.model.carry(shown, state[:, None], self.text)
        return {ACTION: action, STATE: state, **{name: x[:, 0].clamp(-LIMIT, LIMIT) for name, x in frames.items()}}

    def led_to(self, action: Tensor, state: Tensor | None = None, steps: int = 0) -> Values:
        """The block that action tokens lead to, or that shows the `state` they are known to have led to.

        Without denoising steps the robot is carried, where the model can do that, and all else stays: long dreams stay
        truer so (docs/decisions.md).
        """
        if not steps and (values := self.carried(action, state)) is not None:
            return values
        given = {ACTION: action} if state is None else {ACTION: action, STATE: state}
        return self.imagine(Plan.forward(max(1, steps)), given).values

    def roll(self, chunk: np.ndarray, steps: int = 0) -> Block:
        """Forward dynamics: imagine the frame that `chunk` (B, chunk, A) leads to (`led_to`), and step into it."""
        return self.append(self.led_to(self.model.encode_action(chunk), steps=steps), imagined=True)

    @torch.inference_mode()
    def features(self, plan_level: float = 1.0, tap: int | None = None) -> Tensor:
        """Hidden states of the next block's video tokens after `tap` layers, the action unknown: (B, tokens of all
        cameras, width). Of pure noise they are VPP's one-step features (Hu et al. 2024, section 4.1); with a lower
        `plan_level` the video is first denoised to there, in one step.

        Raises:
            ValueError: the level is not in [0, 1].
        """
        if not 0 <= plan_level <= 1:
            raise ValueError(f"a level of {plan_level}: levels are 0 (clean) to 1 (noise)")
        video = (1.0,) if plan_level == 1 else (1.0, plan_level)
        streams = [s for s in self.model.streams if not s.is_query]
        x = self.imagine(Plan(video, (1.0,) * len(video))).values
        levels = {s.name: 1.0 if s.kind == ACTION else plan_level for s in streams}
        hidden, _, _ = self._run(streams, x, self.step + 1, 1, levels, tap=tap)
        return torch.cat([hidden[s.name] for s in streams if s.kind == VIDEO], 1).float()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _read(self, values: Values, index: int) -> tuple[KV, Tokens, Tensor]:
        """What a clean block adds to the past, and its progress."""
        streams = [s for s in self.model.streams if s.kind != STATE or STATE in values]
        shown = values if self.window else {name: x for name, x in values.items() if name != ACTION}
        hidden, kv, tokens = self._run(streams, shown, index, 0, {})
        progress = self.model.network.read(PROGRESS, hidden[PROGRESS]).float()[:, 0, 0].clamp(0, 1)
        keep = ~tokens.query  # nobody looks at a query, so it is not worth a place in the cache
        kv = KV(kv.keys[..., keep, :], kv.values[..., keep, :])
        return kv, Tokens(tokens.block[keep], tokens.copy[keep], tokens.query[keep]), progress

    def _start(self, streams: list[Stream], levels: dict[str, tuple[float, ...]], given: Values) -> Values:
        """Where denoising starts: what is given, and noise. Nothing else is at the level that the network is told."""
        denoised = {s.name: s for s in streams if s.is_denoised}
        wrong = [name for name in denoised if levels[name][0] != (0.0 if name in given else 1.0)]
        wrong += [name for name in given if name not in denoised]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: tokens are given where a plan starts at level 0, and only there")
        return {name: given[name] if name in given else self._noise(s) for name, s in denoised.items()}

    def _run(
        self,
        streams: list[Stream],
        x: Values,
        index: int,
        copy: int,
        levels: dict[str, float],
        tap: int | None = None,
    ) -> tuple[Values, KV, Tokens]:
        """One pass over one block, on top of the cached past: hidden states per stream, keys and values, tokens.
        Streams without a level are clean."""
        model, network = self.model, self.model.network
        context = [b for b in self.blocks if index - b.index <= self.reach]
        tokens = block_tokens(streams, index, copy, model.device)
        mask = self._rule(tokens, Tokens.cat([b.tokens for b in context] + [tokens]))
        past = None
        if context:
            past = KV(torch.cat([b.kv.keys for b in context], -2), torch.cat([b.kv.values for b in context], -2))
        quality = torch.full((self.batch, 1), self.quality, device=model.device) if copy else None
        parts, x = [], model.with_views(x)
        with autocast(model.device):
            for s in streams:
                value = x.get(s.name)
                level = 1.0 if s.is_query else levels.get(s.name, 0.0)
                if value is None and not s.is_query:
                    level = 1.0  # not recorded: unknown, and marked as missing
                level_B1 = torch.full((self.batch, 1), level, device=model.device)
                value_BNTC = None if value is None else value[:, None]
                parts.append(network.embed(s.name, value_BNTC, level_B1, self.text, quality)[:, 0])
            hidden, kv = network(torch.cat(parts, 1), self._times(tokens), mask, past, tap, self.text)
        sizes = [s.tokens for s in streams]
        return dict(zip([s.name for s in streams], hidden.split(sizes, 1), strict=True)), kv, tokens

    def _times(self, tokens: Tokens) -> Tensor:
        """Block index of each token, as the network takes it."""
        return tokens.block if self._shift_B11 is None else tokens.block + self._shift_B11

    def _noise(self, stream: Stream) -> Tensor:
        return draw(self.noise, (stream.tokens, stream.dim), self.model.device)


def _repeat(x: Tensor, dim: int, n: int) -> Tensor:
    """Each row of `dim` n times; a single row is expanded, which shares its memory."""
    if x.shape[dim] == 1:
        return x.expand(*x.shape[:dim], n, *x.shape[dim + 1 :])
    return x.repeat_interleave(n, dim)
