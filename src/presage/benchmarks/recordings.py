"""What recordings alone say, and the simulator's truth beside it.

Experts, disturbed ones and random motion are recorded; then the simulator is forgotten. Does the gate tell a model that
listens from those that cannot (weights in random order, the last frame repeated, actions shuffled in training)? Does
dreaming from recorded first frames, judged by what recorded outcomes taught, rank policies as the simulator does, and
where does it say that it cannot tell? Are labels read from recorded pictures alone executable?

A checkpoint that was trained on shuffled actions is one more control, where it lies as `shuffled` in the checkpoint's
folder or beside it.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, task_list, world_for
from presage.benchmarks.evaluation import MAX_STEPS, agreement_figures
from presage.benchmarks.ranked import policies_to_rank
from presage.benchmarks.recorded_here import check_places, read_back, record
from presage.benchmarks.synthesis import as_video, label_errors, replayed
from presage.measures.abstention import abstention_curve
from presage.measures.agreement import kappa
from presage.measures.correlation import mmrv_interval, pearson
from presage.networks.robot import RobotModel
from presage.results.output import Stopwatch
from presage.simulator.certainty import compare
from presage.simulator.evaluation import Judged
from presage.simulator.frames.imagine import Imagines, as_shipped, copies, session_imagines, with_random_network
from presage.simulator.frames.verdicts import share
from presage.simulator.gate.clips import cut
from presage.simulator.gate.measure import measure
from presage.simulator.gate.verdict import judge
from presage.simulator.ranking import Imagined, imagine, referee_of
from presage.simulator.success import record_outcomes
from presage.simulator.synthesis import label
from presage.systems.checkpoint import load_for
from presage.systems.dreams import imagines_of
from presage.worlds import MT10, ExpertPolicy, rollout
from presage.worlds.recording import RecordedWorld, Recording

SPLITS, IN_SPLIT, TOO_FEW = 20, 12, 3
"""Random choices of recorded episodes that the gate is asked about, episodes in one, and episodes that are too few"""
HORIZON, MOST_CLIPS = 16, 2
"""Steps of a dream that the gate looks at, and clips of an episode"""
STARTS, TOLD = 6, 3
"""Recorded first frames a task, and recorded outcomes a task and behaviour"""


def shuffled_checkpoint(args: BenchArgs) -> Path | None:
    """Of the same model, trained on shuffled actions, where there is one."""
    beside = args.checkpoint.parent / "shuffled"
    folders = (args.checkpoint / "shuffled", beside, beside / "model")
    return next((folder for folder in folders if (folder / "config.json").exists()), None)


def gate_figures(args: BenchArgs, model: RobotModel, recording: Recording) -> dict[str, float]:
    """`gate_right/<model>`: share of the splits with the right verdict; `gate_wrong`: verdicts that say the contrary,
    or something of too few episodes."""
    random = with_random_network(model, args.seed)
    deaf: dict[str, Imagines] = {
        "random_weights": session_imagines(random, as_shipped(), args.seed),
        "copy": copies,
    }
    shuffled = shuffled_checkpoint(args)
    if shuffled is not None:
        deaf["shuffled_actions"] = imagines_of(shuffled, seed=args.seed)
    asked = {"model": imagines_of(args.checkpoint, seed=args.seed), **deaf}
    clips = cut(recording, 1, 4 if args.quick else HORIZON, most=MOST_CLIPS)
    episodes, rng = np.unique(clips.episode), np.random.default_rng(args.seed)
    splits = [rng.permutation(episodes)[:IN_SPLIT] for _ in range(2 if args.quick else SPLITS)]
    figures: dict[str, float] = {"gate_episodes": len(episodes), "gate_splits": len(splits)}
    wrong = 0
    for name, dreamer in asked.items():
        found, _ = measure(dreamer, clips, args.seed)
        says: list[str] = [judge(found.of(some), args.seed).says for some in splits]
        right, contrary = ("listens", "does not listen") if name == "model" else ("does not listen", "listens")
        figures[f"gate_right/{name}"] = says.count(right) / len(says)
        wrong += says.count(contrary)
        if name == "model":
            few = [judge(found.of(some[:TOO_FEW]), args.seed).says for some in splits]
            figures["gate_right/three_episodes"] = few.count("cannot tell") / len(few)
            wrong += len(few) - few.count("cannot tell")
    return figures | {"gate_wrong": wrong}


def ranking_figures(judged: Mapping[str, Judged], found: Mapping[str, Imagined]) -> dict[str, Any]:
    """Of every episode, and `..._sure` of the answered ones: `hallucinated`, called success among true failures, and
    `missed`; agreement; the abstention curve; `pairs_told`, share of the pairs of policies that are told apart, and
    `pairs_wrong`, of which the simulator says the contrary."""
    truth = {name: np.array([r.success for r in one.real], bool) for name, one in judged.items()}
    answers = {name: one.answers for name, one in found.items()}
    true, called = (np.concatenate(x) for x in (list(truth.values()), [a.called for a in answers.values()]))
    sure, given = (np.concatenate([getattr(a, name) for a in answers.values()]) for name in ("confidence", "given"))
    figures: dict[str, Any] = {"answered": float(given.mean())}
    for suffix, among in (("", np.ones_like(given)), ("_sure", given)):
        figures |= share(f"hallucinated{suffix}", called[~true & among])
        figures |= share(f"missed{suffix}", ~called[true & among])
    said = [name for name, a in answers.items() if a.given.any()]
    if len(said) >= 3:
        imagined = [float(answers[name].called[answers[name].given].mean()) for name in said]
        real = [float(truth[name].mean()) for name in said]
        both = [(answers[name].called[answers[name].given], truth[name][answers[name].given]) for name in said]
        for name, interval in (
            ("pearson_sure", pearson(imagined, real)),
            ("mmrv_sure", mmrv_interval(imagined=imagined, real=real)),
            ("kappa_sure", kappa(imagined=[c for c, _ in both], real=[t for _, t in both])),
        ):
            figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    pairs = [
        (compare(answers[a], answers[b]).says, truth[a].mean() - truth[b].mean()) for a, b in combinations(truth, 2)
    ]
    told = [apart if says == "better" else -apart for says, apart in pairs if says != "cannot tell"]
    figures["pairs_told"] = len(told) / len(pairs)
    figures["pairs_wrong"] = float(np.mean([apart < 0 for apart in told])) if told else 0.0
    return figures | abstention_curve(called, true, sure).figures()


def rank(
    args: BenchArgs,
    model: RobotModel,
    world: Any,
    starts: Recording,
    told: Recording,
    tasks: list[str],
    seeds: list[int],
) -> dict[str, Any]:
    """Every policy in the simulator, and in dreams from recorded first frames."""
    recorded, referee = RecordedWorld(starts, world.num_envs), referee_of(model, told, seed=args.seed)
    check_places(recorded, tasks, seeds)
    steps = 3 if args.quick else min(max_steps(args), MAX_STEPS)
    ranked = policies_to_rank(args, model, world, tasks, seeds, steps)
    judged: dict[str, Judged] = {}
    found: dict[str, Imagined] = {}
    bar = tqdm(ranked.items(), desc="recordings", unit="policy")
    for name, one in bar:
        bar.set_postfix_str(name)
        real = one.real(world, tasks, seeds, steps)
        policy = one.in_dreams(real, recorded.num_envs, len(referee.seeds))
        found[name] = imagine(policy, model, recorded, tasks, seeds, steps, referee)
        judged[name] = Judged(real, found[name].results).without_frames()
        args.keep(name, judged[name].real)
        args.keep(name, judged[name].imagined, "imagined")
    figures = agreement_figures(judged, [name for name, one in ranked.items() if not one.trivial])
    figures |= ranking_figures(judged, found)
    figures |= {"recorded_balanced_accuracy": referee.accuracy, "recorded_episodes": len(referee.truth)}
    for name, j in judged.items():
        figures |= {f"real/{name}": j.real_success, f"imagined/{name}": j.imagined_success}
        figures[f"answered/{name}"] = float(found[name].answers.given.mean())
    return figures


def label_figures(args: BenchArgs, model: RobotModel, world: Any, starts: Recording) -> dict[str, Any]:
    """Labels of recorded pictures alone, replayed, beside the recorded actions and the labels of another episode's
    video; and how much a label's error grows when another episode's pictures are given."""
    experts = read_back(starts)
    tasks, seeds = [e.task for e in experts], [e.seed for e in experts]
    labels = label(model, [as_video(e) for e in experts], states=False)
    played = {
        "original_success": [e.actions for e in experts if e.actions is not None],
        "video_replay_success": labels,
        "video_shuffled_success": labels[1:] + labels[:1],
    }
    figures = replayed(args, world, tasks, seeds, played)
    errors = label_errors(model, experts, states=False)
    original = max(figures["original_success"], 1e-9)
    return figures | {
        "video_replay_ratio": figures["video_replay_success"] / original,
        "video_shuffled_ratio": errors["shuffled"] / errors["true"],
    }


def run(args: BenchArgs) -> dict[str, Any]:
    """All three, and the seconds that each took."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=STARTS)
    world = world_for(model, len(tasks), workers=0 if args.quick else 2)
    names, steps = list(dict.fromkeys(tasks)), 24 if args.quick else MAX_STEPS
    figures: dict[str, Any] = {"episodes_per_policy": len(tasks)}
    with tempfile.TemporaryDirectory() as folder:
        experts = rollout(ExpertPolicy(world), world, tasks, seeds, steps, record=True)
        starts = record(Path(folder) / "starts", experts, world, model.fps, args.checkpoint)
        outcomes = record_outcomes(world, names, 1 if args.quick else TOLD, steps)
        told = record(Path(folder) / "told", _numbered(outcomes), world, model.fps, args.checkpoint)
        for name, part in (
            ("gate", lambda: gate_figures(args, model, told)),
            ("ranking", lambda: rank(args, model, world, starts, told, tasks, seeds)),
            ("labels", lambda: label_figures(args, model, world, starts)),
        ):
            watch = Stopwatch()
            figures |= part()
            figures[f"seconds_{name}"] = watch.seconds
    world.close()
    return figures


def _numbered(results: list[Any]) -> list[Any]:
    """In the order in which they were recorded, whatever their seeds."""
    return [replace(each, seed=i) for i, each in enumerate(results)]
