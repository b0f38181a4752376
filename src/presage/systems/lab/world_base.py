"""W-base: what actions do to pictures. A video model that is told actions, and neither words, state nor quality.

A latent U-Net over two past frames. It is trained in two phases (Qi et al. 2025, GPC, section 4.2): what one chunk
leads to, then what several lead to, through its own predictions. Its data are perturbed experts and play: whoever
imagines what a policy would do must know how things go wrong.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.systems.lab.arms import sized
from presage.systems.lab.artifacts import Artifact, artifact, source
from presage.systems.lab.labels import Seen
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import SMALL, Card, Shape, Size, System
from presage.timeline.corruption import Corruption, Flow, Given
from presage.timeline.levels import GIVEN, Levels, Role, Uniform
from presage.timeline.streams import Stream
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.rollout import Rollout
from presage.training.objectives.together import Together
from presage.training.recorded import shape_of
from presage.training.stage import Stage

PAST, AHEAD = 2, 2
"""Frames that are seen, since one does not show how fast things are; chunks of the second phase's rollouts"""
ONE_STEP = Denoise(Levels((Role(Uniform(0.5), GIVEN),)), history_noise=0.1)
"""Half of the questions begin in pure noise, where a dream of one denoising step is asked"""
W_BASE = "w-base"


def world_model(
    shape: Shape,
    size: Size,
    past: int = PAST,
    acting: Corruption = Given(),  # noqa: B008 - a value
    beside: Sequence[Stream] = (),
    parts: Mapping[str, nn.Module] | None = None,
    by_frame: bool = True,
) -> Composed:
    """A fresh model.

    acting: corruption of actions, for a policy that denoises them. beside: streams that parts answer and the network
    does not hold. by_frame: as in `UNetConfig`.
    """
    codec = conv_codec(shape, size)
    cameras, acts = videos(shape, codec, Flow(floor=1.0)), actions(shape, acting, per_step=True)
    widths = (3 * size.channels, 4 * size.channels)
    pictures, layers = tuple(s.name for s in cameras), max(1, size.layers // 2)
    config = UNetConfig(
        pictures, widths, size.width, layers, size.heads, past=past, fold=2, deaf=True, by_frame=by_frame
    )
    return Composed(
        [acts, *cameras, *beside],
        {s.source: codec for s in cameras},
        UNet([acts, *cameras], config),
        shape,
        context=past,
        parts=parts,
    )


def world_stages(
    size: Size, data: Mapping[str, float], steps: tuple[int, int], orthogonal: tuple[str, ...] = ()
) -> tuple[Stage, Stage]:
    """`one step` and `rollout`. orthogonal: as in `Optimiser`."""
    several = Together((ONE_STEP, Rollout(AHEAD)))
    first, second = (scaled(Optimiser(n, 16, warmup=50, orthogonal=orthogonal), size) for n in steps)
    return (
        Stage("one step", ONE_STEP, data=data, window=PAST + 2, optimiser=first),
        Stage("rollout", several, data=data, window=PAST + AHEAD + 1, optimiser=second),
    )


def world_base(shape: Shape, size: Size = SMALL, data: Mapping[str, float] | None = None) -> System:
    """W-base as a system without uses. data: kinds and their shares; noise and play by default."""
    data = data or {"noise": 1.0, "play": 1.0}
    card = Card(0, "W-base", "", ("planning", "evaluation"), "Actions have their consequences in pictures.")
    stages = (codec_stage(size, dict(data)), *world_stages(size, data, (4000, 1000)))
    return System(card, lambda shape: world_model(shape, size), stages)


def table_world(quick: bool, out: Path, may: Sequence[Seen] | None = None) -> Artifact:
    """W-base of the table, trained on the lab's perturbed experts and play the first time.

    out: where a debug twin lies. may: what the arm that asks may have seen.

    Raises:
        UserError: one of the two datasets was not made, or the arm may not have seen them.
    """
    data = {name: source(name, quick) for name in ("noise", "play")}
    shape = shape_of(data["noise"].recorded)
    return artifact(W_BASE, world_base(shape, sized(SMALL, quick)), shape, data, out if quick else None, may=may)
