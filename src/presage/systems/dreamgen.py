"""DreamGen (Jang et al. 2025): a video model that never acts dreams clips of the robot from first frames and words; an
inverse model reads actions off them; a policy learns from both, real and dreamed.

Clips are UniPi's: one question, keyframes four rows apart, the latent U-Net of `unipi.py` for their image-to-video
model. The inverse model sees two frames and nothing else, and denoises the chunks between; the first chunk is kept. The
policy reads frames, no state, which dreams do not have. Left out: upsampling in time (a dream's rows are its
keyframes), a filter of bad dreams, and an action head of its own for dreams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from presage.networks.composed import Composed
from presage.policy.dreamt import dreams, mislabelled, once, replays
from presage.policy.executors import receding
from presage.policy.features import headed, latents
from presage.policy.heads import ActionTransformer, Convolved
from presage.policy.translators import ClipPlan
from presage.systems.lab.arms import CAMERAS, recorded
from presage.systems.lab.check import CheckResult
from presage.systems.lab.clips import translations
from presage.systems.lab.datasets import T3
from presage.systems.lab.policies import Probe, Variant, compare_policies
from presage.systems.lab.probes import Pairs
from presage.systems.lab.readings import asked_of
from presage.systems.lab.starting import first_frames
from presage.systems.parts import codec_stage, conv_codec, scaled
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.systems.unipi import EVERY, KEYFRAMES, clip_stages, pictures_of, planner
from presage.timeline.corruption import Flow
from presage.training.loop import Optimiser
from presage.training.objectives.imitate import Imitate
from presage.training.objectives.invert import Invert, in_a_row
from presage.training.stage import Make, Stage

DREAMS, FEW = 240, 10
"""Clips that are dreamed, and real demonstrations a task in the check"""
PLAY = {"labelled": 1.0, "noise": 2.0}
"""What the inverse model learns from: play shows more of what actions do"""
VIDEO = ("labelled", "free")
"""Kinds whose videos the clip model learns from; it sees no action"""


def plan_of(pictures: Sequence[str]) -> ClipPlan:
    return ClipPlan(tuple(pictures), KEYFRAMES, EVERY, steps=10, scale=2.0, reads=5)


def dreamgen(shape: Shape, size: Size = SMALL, made: Make | None = None) -> System:
    """made: what the policy learns from beside `labelled`, half and half; dreams by default."""
    pictures, plan = pictures_of(shape), plan_of(pictures_of(shape))
    made = made or dreams(plan, max(4, round(DREAMS * min(1.0, size.steps))))

    def build(shape: Shape) -> Composed:
        model = planner(shape, conv_codec(shape, size), size, 2)
        acts = replace(model.streams[0], corruption=Flow(limit=1.5), tokens=shape.chunk, dim=shape.action_dim)
        places, numbers = model.streams[1].tokens, model.streams[1].dim * len(pictures)
        model.streams = (acts, *model.streams[1:])
        for name, frames, chunks in (("translator", 2, EVERY), ("head", 1, 1)):
            seen = Convolved(places, numbers, size.width, frames)
            model.parts[name] = ActionTransformer(seen, size.width, in_a_row(acts, chunks), 2, size.heads)
        return model

    pairs = Invert(pictures, every=EVERY, noise=0.1)
    invert, imitate = (scaled(Optimiser(n, 64, warmup=50), size) for n in (1500, 1200))
    video = dict.fromkeys(VIDEO, 1.0)
    stages = (
        codec_stage(size, video),
        *clip_stages(size, VIDEO, steps=(1500, 2500)),
        Stage("invert", pairs, ("parts.translator",), PLAY, window=1 + EVERY, optimiser=invert),
        Stage(
            "policy",
            Imitate(latents(pictures)),
            ("parts.head",),
            {"labelled": 1.0, "made": 1.0},
            {"made": made},
            window=1,
            optimiser=imitate,
        ),
    )
    return System(Card.of("dreamgen"), build, stages, {"policy": receding(headed(latents(pictures)))})


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size, count = (DEBUG, 6) if quick else (SMALL, DREAMS)
    starts = first_frames(T3[:1] if quick else T3, count)
    pictures = [f"image.{camera}" for camera in CAMERAS]
    plan = plan_of(pictures)
    dreamt = once(dreams(plan, count, starts))
    ask = asked_of(latents(pictures))

    def arm(made: Make) -> Variant:
        return Variant(lambda shape: dreamgen(shape, size, made), ask, takes=("codecs", "network", "parts"))

    def real(shape: Shape) -> System:
        return dreamgen(shape, size).with_stage("policy", data={"labelled": 1.0}, make={})

    variants = {
        "real + dreams": arm(dreamt),
        "real": Variant(real, ask, takes=("codecs",)),
        "real + wrong labels": arm(mislabelled(dreamt)),
        "real + replays": arm(replays(plan, count)),
    }
    play = recorded("play", quick)
    noise = play.only([i for i, task in enumerate(play.task) if quick or task in T3])
    return compare_policies(
        find("dreamgen"),
        variants,
        dict.fromkeys(list(variants)[1:], 0.1),
        Probe(labels, LIMITS),
        arms,
        seeds,
        quick,
        out,
        labelled=FEW,
        shared=("codec", "short", "video", "invert"),
        further={"noise": noise},
    )


LIMITS = {"label's error / with others' futures": 0.5, "label's error / with first frame repeated": 0.5}


def labels(model: Composed, pairs: Pairs) -> Mapping[str, float]:
    """Whether labels follow the video: the inverse model on true clips, beside others' futures and none."""
    lines = translations(model, plan_of(list(pairs.recorded.frames)), pairs.recorded)
    return dict(zip(LIMITS, (1 / line.value for line in lines), strict=True))
