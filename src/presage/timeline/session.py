"""A session: one batched imagination that can be grounded.

    s = Session(model, instructions)
    s.observe(observation)                     # append truth
    dream = s.imagine(Schedule.joint(4))       # a step of future: what is seen, and what is done
    s.observe(next_observation, executed)      # truth again: whatever was imagined is dropped

The past is a memory of blocks (memory.py), so eviction, rewinding, forking, joining and dropping rows are its
operations; nothing is ever re-indexed, because time enters by absolute steps. A row's noise is its own (noise.py), so
what a row becomes does not depend on the rows beside it.

Shapes: B batch, N steps, T tokens of a stream, C numbers per token.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from presage.timeline.backbone import Backbone, Base, Condition, Tap, Window
from presage.timeline.levels import GIVEN, UNKNOWN, Schedule, flat, levels_of
from presage.timeline.memory import Entry, Memory
from presage.timeline.noise import Seed, children, draw, streams
from presage.timeline.sampler import Guidance, levels_at, predict, walk
from presage.timeline.streams import Stream, Values


class Model(Protocol):
    """A backbone, and raw robot data <-> its values."""

    @property
    def streams(self) -> Sequence[Stream]: ...
    @property
    def backbone(self) -> Backbone: ...
    @property
    def context(self) -> int:
        """How many steps back the backbone looks."""
        ...

    @property
    def base(self) -> Base | None: ...
    @property
    def device(self) -> torch.device: ...

    def condition(self, instructions: list[str] | Tensor) -> Condition:
        """What the backbone is told, of one instruction a row or of their embeddings."""
        ...

    def encode(self, observation: dict[str, np.ndarray], executed: np.ndarray | None) -> Values:
        """Values (B, T, C) of a step: what is seen there, and the actions that led there.

        Raises:
            UserError: the observation does not fit the model.
        """
        ...


M = TypeVar("M", bound=Model)


@dataclass(frozen=True, eq=False)
class Block:
    """One step of the past: what was done on the way there, and what was seen."""

    index: int
    values: Values
    entry: Entry
    """what the network keeps of it"""
    answers: Values
    """stream -> (B, T, C) of what is asked at every step"""
    carried: Tensor | None
    """(B, M) what the base prediction carries on from here; None where there is none"""
    imagined: bool


@dataclass(frozen=True)
class Imagination:
    """What was imagined by a schedule."""

    values: Values
    """of the next step (B, T, C), or of a clip (B, N, T, C)"""
    schedule: Schedule = field(repr=False)


class Session(Generic[M]):
    """B imaginations in lock step over one model.

    Args:
        model: in eval mode.
        instructions: one per batch row, or their embeddings.
        quality: how well the imagined robot behaves: 1 like the expert, 0 like disturbed or random data.
        seed: of the noise. Every row draws from a stream of its own: of the seed and its place in the batch, or of its
            own seed alone where there is one a row.
        context: steps of past that are seen; the model's by default. With 0 only the newest step counts, and neither
            what came before it nor the action that led to it: for policies, which otherwise learn to repeat themselves.
            Base predictions carry on what they remember.
    """

    def __init__(
        self,
        model: M,
        instructions: list[str] | Tensor,
        quality: float = 1.0,
        seed: int | Sequence[Seed] = 0,
        context: int | None = None,
    ) -> None:
        self.model, self.backbone, self.quality = model, model.backbone, quality
        self.context = model.context if context is None else context
        self.condition = replace(model.condition(instructions), context=self.context)
        self.noise = streams(seed, len(self.condition.text))
        self.past: Memory[Block] = Memory()
        self.differentiable, self.still = False, False
        self._shift_B = torch.zeros(self.batch, dtype=torch.long, device=model.device)
        """How much rows are ahead of the session's clock, where sessions were joined."""

    @property
    def batch(self) -> int:
        return len(self.condition.text)

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.past.entries

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
        """How many blocks back anything looks: a question sees at least the newest."""
        return max(1, self.context)

    # -- the past -----------------------------------------------------------------------------------------------------

    def observe(self, observation: dict[str, np.ndarray], executed: np.ndarray | None = None) -> Block:
        """Append a real step and the actions (B, chunk, A) that led to it; imagined blocks at the tail are dropped.

        Raises:
            UserError: a camera, the state's or the action's size does not fit the model.
        """
        self.wake()
        return self.append(self.model.encode(observation, executed))

    def wake(self) -> None:
        """Drop imagined blocks at the tail."""
        real = [i for i, b in enumerate(self.blocks) if not b.imagined]
        self.past = self.past.truncate(real[-1] + 1 if real else 0)

    def append(self, values: Values, imagined: bool = False, level: float = 0.0) -> Block:
        """Append values (B, T, C) as past. A `level` above 0 tells the network that they are that noisy."""
        with self._gradients():
            base = self.model.base
            before, carried = (self.last.values, self.last.carried) if self.blocks else ({}, None)
            carried = None if base is None else base.remember(values, before, carried)
            block = self._read(values, self.step + 1, carried, imagined, level)
        self.past = self.past.add(block)
        self._evict()
        return block

    def aim(self, goal: Values) -> None:
        """Tell what is to be reached: values (B, T, C) of a frame. What is remembered was read without it."""
        self.condition = replace(self.condition, goal=goal)

    @torch.inference_mode()
    def instruct(self, instructions: list[str] | Tensor) -> None:
        """Tell other words. The past that is kept was read under the old ones, so it is read again."""
        condition = replace(self.condition, text=self.model.condition(instructions).text)
        if torch.equal(condition.text, self.condition.text):
            return
        self.condition, past, self.past = condition, self.past, Memory()
        for b in past:
            self.past = self.past.add(self._read(b.values, b.index, b.carried, b.imagined))

    def _evict(self) -> None:
        """Drop what no future token can see. Truth is kept for twice the context, so that a dream of any length can be
        dropped, and a session rewound by up to a context, without losing any."""
        recent, kept = self.step - self.reach, self.grounded - 2 * self.reach
        self.past = Memory(tuple(b for b in self.past if b.index > recent or (not b.imagined and b.index > kept)))

    def rewind(self, step: int) -> None:
        """Forget every block after `step`.

        Raises:
            ValueError: the step's own context was evicted.
        """
        indices = [b.index for b in self.blocks]
        first = max(0, step + 1 - self.reach)
        if step < 0 or any(i not in indices for i in range(first, step + 1)):
            raise ValueError(f"cannot rewind to step {step}: its context has been evicted, only {indices} are kept")
        self.past = self.past.truncate(indices.index(step) + 1)

    def fork(self, n: int, seed: int | None = None) -> "Session[M]":
        """n futures of every batch row, as a session of batch B * n (row b's futures are b*n ... b*n + n - 1).

        The past is shared where it can be: a batch of one is expanded without a copy. Each future draws its own noise,
        and forking again gives others; with a `seed`, the same ones each time.
        """
        other = copy.copy(self)
        rows = torch.arange(self.batch, device=self.model.device).repeat_interleave(n)
        other.condition = self.condition.each(lambda x: x[rows])
        other._shift_B = self._shift_B[rows]
        other.noise, other.past = children(self.noise, n, seed), self.past.repeat(n)
        return other

    def with_gradients(self) -> "Session[M]":
        """The same past and noise, in a session whose imaginations are differentiable in what they are given."""
        other = copy.copy(self)
        other.differentiable, other.past = True, self.past.copied()
        other.condition = self.condition.each(torch.clone)
        return other

    def without_noise(self) -> "Session[M]":
        """The same past, in a session that imagines from zeros in place of noise: nothing is left to chance, so that
        futures differ by what they are given alone (Qi et al. 2025, GPC, section 4.3)."""
        other = copy.copy(self)
        other.still = True
        return other

    def through(self, backbone: Backbone) -> "Session[M]":
        """The same past and noise, asked of another backbone that reads history alike."""
        other = copy.copy(self)
        other.backbone = backbone
        return other

    def keep(self, rows: list[int] | np.ndarray) -> None:
        """Drop all but `rows` of the batch, so that finished episodes cost nothing. Kept rows go on as they would."""
        kept = np.arange(self.batch)[rows]
        index = torch.from_numpy(kept).to(self.model.device)
        self.condition = self.condition.each(lambda x: x[index])
        self.noise, self._shift_B = [self.noise[row] for row in kept], self._shift_B[index]
        self.past = self.past.select(index)

    # -- the future ---------------------------------------------------------------------------------------------------

    def imagine(
        self,
        schedule: Schedule,
        given: Values | None = None,
        length: int | None = None,
        guidance: Guidance | None = None,
        reuse: int = 1,
    ) -> Imagination:
        """Denoise the next step by `schedule`, or the next `length` steps together, as one clip.

        `given` are values of streams that the schedule starts at level 0: (B, T, C), of a clip (B, N, T, C). The base
        prediction may add what follows from them. The session itself does not change:
        `append(imagination.values, imagined=True)` takes the step.

        Raises:
            ValueError: the schedule starts a stream at level 0 that is not given, one at level 1 that is, or between.
        """
        given, base = dict(given or {}), self.model.base
        if base is not None and self.blocks and length is None:
            with self._gradients():
                complete = base.complete(self.last.values, self.last.carried, given)
            follows = {name: flat(GIVEN, schedule.steps) for name in complete if name not in given}
            given, schedule = complete, replace(schedule, streams={**follows, **schedule.streams})
        walks = schedule.walks(self.backbone.streams)
        held = [s for s in self.backbone.streams if s.name in walks and s.imagined]
        starts = {s.name: GIVEN if s.name in given else UNKNOWN for s in held}
        wrong = [name for name, level in starts.items() if set(levels_of(walks[name][0])) != {level}]
        wrong += [name for name in given if name not in {s.name for s in held}]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: values are given where a schedule starts at level 0, and only there")
        n = length or 1
        start = {name: x if length else x[:, None] for name, x in given.items()}
        for s in held:
            if s.name not in start and not s.corruption.one_pass:
                noise = draw(self.noise, (n, s.tokens, s.dim), self.model.device)
                noise = torch.zeros_like(noise) if self.still else noise
                unknown = torch.full(noise.shape[:2], UNKNOWN, device=noise.device)
                start[s.name] = s.corruption.corrupt(torch.zeros_like(noise), unknown, noise)
        with self._gradients():
            x = walk(
                self.backbone,
                self._memory(self.step + 1),
                self.condition,
                schedule,
                start,
                self._steps(self.step + 1, n),
                self.backbone.streams,
                self._expected,
                self.quality,
                guidance,
                reuse,
            )
        return Imagination(x if length else {name: v[:, 0] for name, v in x.items()}, schedule)

    @torch.inference_mode()
    def features(self, tap: Tap, schedule: Schedule, given: Values | None = None, length: int | None = None) -> Values:
        """Hidden states (B, T, D) of the next step's streams at a tap, at the last levels of `schedule`: nothing is
        denoised where it has no steps. Of pure noise they are VPP's one-step features (Hu et al. 2024, section 4.1).
        Of a clip of `length` steps they are (B, N, T, D)."""
        dream = self.imagine(schedule, given, length)
        steps, walks = self._steps(self.step + 1, length or 1), dream.schedule.walks(self.backbone.streams)
        levels = {name: levels_at(walk[-1], steps) for name, walk in walks.items()}
        shown = dream.values if length else {name: x[:, None] for name, x in dream.values.items()}
        question = Window(shown, levels, steps, together=True, quality=levels_at(self.quality, steps))
        out = self.backbone([question], self._memory(self.step + 1), self.condition, tap)
        assert out.features is not None
        return {name: x.float() if length else x[:, 0].float() for name, x in out.features[0].items()}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _gradients(self) -> AbstractContextManager[None]:
        return torch.enable_grad() if self.differentiable else torch.inference_mode()

    def _read(self, values: Values, index: int, carried: Tensor | None, imagined: bool, level: float = 0.0) -> Block:
        """The block of a step, as the network reads it."""
        shown = values
        if not self.context:  # what led to a step is of the past
            shown = {s.name: values[s.name] for s in self.backbone.streams if s.name in values and not s.acts}
        steps, streams = self._steps(index, 1), self.backbone.streams
        held = [s for s in streams if s.acts or s.asked or s.derive is not None or s.name in shown]
        levels = {s.name: levels_at(GIVEN if s.acts else UNKNOWN if s.asked else level, steps) for s in held}
        window = Window({name: x[:, None] for name, x in shown.items()}, levels, steps, remember=True)
        out = self.backbone([window], self._memory(index), self.condition)
        raw = out.raw[0]
        answers = {s.name: predict(s, raw[s.name], raw[s.name], levels[s.name])[:, 0] for s in streams if s.name in raw}
        return Block(index, dict(values), out.memory.entries[-1], answers, carried, imagined)

    def _expected(self, question: Window) -> Values:
        """The base prediction of every step of a question."""
        if self.model.base is None or not self.blocks:
            return {}
        n = question.steps.shape[1]
        newest = {name: x[:, None].expand(-1, n, -1, -1) for name, x in self.last.values.items()}
        carried = self.last.carried
        carried = None if carried is None else carried[:, None].expand(-1, n, -1)
        return self.model.base(newest, carried, question, self.condition)

    def _memory(self, index: int) -> Memory[Entry]:
        """What a step sees of the past."""
        return Memory(tuple(b.entry for b in self.past if index - b.index <= self.reach))

    def _steps(self, index: int, n: int) -> Tensor:
        """(B, n) absolute steps from `index` of the session's clock on."""
        return index + torch.arange(n, device=self.model.device) + self._shift_B[:, None]
