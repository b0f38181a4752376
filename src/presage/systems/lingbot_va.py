"""LingBot-VA (2026): video and action interleaved in one causal sequence, decided in turn, executed while it decides.

Two experts attend jointly, a wide one for video and a narrow one for actions. The next frame is imagined first, its
denoising stopped half-way, then the action that leads to it; half of the past was noisy in training, so half-denoised
frames do. While a chunk runs, a forward step under that very chunk stands for the frame that is not there yet. The
paper starts from Wan 2.2 (5B); here all is from scratch: a stage of video and dynamics, with whose layers, scaled,
the action expert begins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from presage.networks.composed import ACTION, IMAGE, Composed
from presage.networks.experts import Expert, Experts, ExpertsConfig, Inherit
from presage.networks.packed import Packed
from presage.policy.asynchronous import Foresight, asynchronous, forward
from presage.systems.lab.check import CheckResult
from presage.systems.lab.delays import Execution, Training, asynchrony, compare_executions, late, misled
from presage.systems.lab.probes import Pairs, forward_errors, sampled_error
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.attention import Rule, one_way, teacher_forced
from presage.timeline.corruption import Flow
from presage.timeline.levels import GIVEN, Levels, Role, Schedule, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.one_of import OneOf
from presage.training.recorded import Recorded
from presage.training.stage import Stage

CONTEXT = 2
"""Rows of past that anything sees"""
HALF = 0.5
"""Where video stops, and the highest level of a noisy past"""
LABELLED = 50
"""Demonstrations a task"""
LEAN = replace(SMALL, name="lean", width=96, layers=4)
"""What one core trains in minutes, where windows are of 250 tokens"""
BOTH, FEW = {"labelled": 1.0, "free": 1.0}, {"labelled": 1.0}
ALL = BOTH | {"noise": 2.0}
"""Of disturbed experts too, and with what they did: experts do the same in the same place, which says little of what
another action would lead to. Nothing is learned from them of what to do."""
SEES, ACTS, STOPPED = Uniform(0.2, "sees"), Uniform(0.2, "acts"), Uniform(0.0, "stopped", HALF)


def in_turn(stop: float) -> Schedule:
    """Video in three steps, or in two where it stops half-way; then the action in six."""
    return Schedule.in_turn(2 if stop else 3, 6, stop)


def teacher(role: Role, noisy: bool) -> Denoise:
    """Forced on the true past."""
    return Denoise(Levels((role,)), history_noise=HALF if noisy else 0.0, memoryless=0.5)


def objective(noisy: bool) -> OneOf:
    """Video, the action that leads to it (eq. 6 and 7), half of them to video that is noisy as the past is (eq. 10),
    and video after an action that is told (eq. 13)."""
    read = ((teacher(Role(k, ACTS), noisy), 1.0) for k in (GIVEN, STOPPED if noisy else GIVEN))
    return OneOf(((teacher(Role(SEES, None), noisy), 1.0), *read, (teacher(Role(SEES, GIVEN), noisy), 1.0)))


def rule(context: int) -> Rule:
    return teacher_forced(context, one_way)


def world(noisy: bool) -> OneOf:
    """Video, and video after an action that is told (eq. 13): what the paper's base has learned before."""
    return OneOf(((teacher(Role(SEES, None), noisy), 1.0), (teacher(Role(SEES, GIVEN), noisy), 2.0)))


def lingbot_va(shape: Shape, size: Size = SMALL, noisy: bool = True) -> System:
    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras = videos(shape, codec, Flow())
        times = tuple(i / shape.chunk - 1 for i in range(shape.chunk))  # between the frame before and its own
        streams = [replace(actions(shape, Flow(), per_step=True), offsets=times), *cameras]
        experts = (Expert("action", (ACTION,), size.width // 2), Expert("video", (f"{IMAGE}*",), size.width))
        network = Experts(ExpertsConfig(experts, size.layers, size.heads, size.width // size.heads), streams)
        codecs = {s.source: codec for s in cameras}
        packed = Packed(network, streams, CONTEXT, rule)
        return Composed(streams, codecs, packed, shape, CONTEXT)

    before = scaled(Optimiser(steps=800, batch=16, warmup=50), size)
    joint = scaled(Optimiser(steps=1000, batch=16, warmup=50), size)
    weights, begin = {ACTION: 1.0, f"{IMAGE}*": 1.0}, Inherit("action", "video")
    return System(
        Card.of("lingbot_va"),
        build,
        (
            codec_stage(size, BOTH),
            Stage("world", world(noisy), data=ALL, weights=weights, optimiser=before),
            Stage("joint", objective(noisy), data=FEW, weights=weights, optimiser=joint, begin=begin),
        ),
        {
            "policy": asynchronous(in_turn(0.0), 0, context=CONTEXT),
            "naive": asynchronous(in_turn(HALF), 1, context=CONTEXT),
            "grounded": asynchronous(in_turn(HALF), 1, forward(2, HALF), CONTEXT),
        },
    )


def cloning(shape: Shape, size: Size = SMALL) -> System:
    """The same network and steps, the action alone."""
    system = lingbot_va(shape, size)
    codec, _, joint = system.stages
    alone = replace(joint, objective=teacher(Role(None, ACTS), False), begin=None)
    return replace(system, stages=(codec, alone))


def executions(labelled: Recorded) -> Mapping[str, Execution]:
    def read(stop: float, foresight: bool = False) -> Callable[[Composed, Pairs], Mapping[str, float]]:
        def figures(model: Composed, pairs: Pairs) -> Mapping[str, float]:
            error = {"action error": sampled_error(model, pairs, in_turn(stop))}
            return error | (forward_errors(model, pairs, Schedule.forward(3)) if foresight else {})

        return figures

    def act(training: str, stop: float, latency: int = 0, foresee: Foresight | None = None) -> Execution:
        use = asynchronous(in_turn(stop), latency, foresee, CONTEXT)
        return Execution(training, use, read(stop, not latency and training == "noisy"))

    step = forward(2, HALF)
    arms = {"synchronous": act("noisy", HALF), "noisy, whole video": act("noisy", 0.0)}
    arms |= {"clean, half": act("clean", HALF), "clean, whole video": act("clean", 0.0)}
    for n in (1, 2):
        arms[late("naive", n)] = act("noisy", HALF, n)
        arms[late("grounded", n)] = act("noisy", HALF, n, step)
        arms[late("misled", n)] = act("noisy", HALF, n, misled(step, labelled))
        arms[late("cloning", n)] = Execution(late("cloning", n), asynchronous(Schedule.policy(6), n))
    return arms


def check(names: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size = DEBUG if quick else LEAN
    trainings = {
        "noisy": Training(lambda s: lingbot_va(s, size)),
        "clean": Training(lambda s: lingbot_va(s, size, False)),
    }
    trainings |= {late("cloning", n): Training(lambda s: cloning(s, size), n) for n in (1, 2)}
    row = find("lingbot_va")
    return compare_executions(row, trainings, executions, asynchrony, names, seeds, quick, out, LABELLED, ("noise",))
