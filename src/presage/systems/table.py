"""The 36 published systems: what each claims, and how far presage is with it.

A system's recipe is the module of `presage.systems` that has its name; it is imported when it is asked for. A system is
*planned* until that module exists, has a *recipe* from then on, and is *checked* once a verdict is committed.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Literal

from presage.errors import UserError

State = Literal["planned", "recipe", "checked"]
USES = {
    "synthesis": "1.1",
    "planning": "1.2",
    "evaluation": "1.3",
    "joint": "2.1",
    "representation": "2.2",
    "open loop": "2.3",
    "closed loop": "2.4",
}
"""Use -> its number: 1 is the model as a simulator, 2 the model as the policy."""


@dataclass(frozen=True)
class Row:
    """A system.

    name: of its recipe's module and on the command line. title: what its authors call it. paper: arXiv number, empty
    where there is a report of a company alone. uses: keys of `USES`. claim: what its check is about.
    """

    number: int
    name: str
    title: str
    paper: str
    uses: tuple[str, ...]
    claim: str


def _row(number: int, name: str, title: str, paper: str, uses: str, claim: str) -> Row:
    return Row(number, name, title, paper, tuple(uses.split(", ")), claim)


ROWS = (
    _row(1, "dreamgen", "DreamGen", "2505.12705", "synthesis",
        "A few real episodes and many dreamed, labelled ones train a better policy than the real ones alone."),
    _row(2, "groot_n1", "GR00T N1", "2503.14734", "synthesis",
        "Dreams are one more embodiment, and a judge that rejects bad ones is what makes them useful."),
    _row(3, "interactive_world_sim", "Interactive World Simulator", "2603.08546", "synthesis, evaluation",
        "A small one-step model stays usable for minutes; demonstrations driven in it nearly replace real ones."),
    _row(4, "unisim", "UniSim", "2310.06114", "synthesis",
        "A policy that reinforcement learning improves inside the model alone is better in the real world."),
    _row(5, "vjepa2_ac", "V-JEPA 2-AC", "2506.09985", "planning",
        "Trained on play without rewards, a search for actions that lead to a goal image's features reaches it."),
    _row(6, "clasp", "CLASP", "1806.09655", "planning",
        "Passive video yields an action space that 1 % of the labels ground as well as all of them."),
    _row(7, "swim", "SWIM", "2308.10901", "planning",
        "Videos of human hands, read as affordances, improve the world model at equal robot data."),
    _row(8, "vlp", "Video Language Planning", "2310.10625", "planning",
        "Success rises with the breadth of a tree search over texts and clips; a filter keeps out impossible clips."),
    _row(9, "gpc", "Generative Predictive Control", "2502.00622", "planning",
        "Looking ahead through the model improves a frozen policy, by ranking its candidates and by gradient."),
    _row(10, "dreamdojo", "DreamDojo", "2602.06949", "synthesis, planning, evaluation",
        "Latent actions of unlabelled video replace most labels; a few-step student runs in real time at little loss."),
    _row(11, "cosmos_policy", "Cosmos Policy", "2601.16163", "planning, joint",
        "One network is policy, world model and value; picking by the value of imagined states beats not picking."),
    _row(12, "veo_robotics", "Veo world simulator", "2512.10675", "evaluation",
        "The model ranks policies, foresees which changes of the scene hurt them, and finds unsafe behaviour first."),
    _row(13, "irasim", "IRASim", "2406.14540", "planning, evaluation",
        "Ranking by the model helps only if it has seen the policy's own failures."),
    _row(14, "onex_evaluation", "1X World Model", "", "evaluation",
        "Imagined and true outcomes agree more with more rollouts in training; this tells how often a pick is right."),
    _row(15, "ctrl_world", "Ctrl-World", "2510.10125", "evaluation, synthesis",
        "A memory found by pose keeps what was hidden; imagined successes improve the policy."),
    _row(16, "dreamzero", "DreamZero", "2602.15922", "joint",
        "Denoising video and action together, with truth put back, is at least as good as a diffusion policy."),
    _row(17, "motus", "Motus", "2512.13030", "joint",
        "One checkpoint is policy, forward, inverse, video and joint model; latent actions of flow save labels."),
    _row(18, "pad", "PAD", "2411.18179", "joint",
        "Denoising the future image with the action improves the policy, and action-free video adds to it."),
    _row(19, "gr1", "GR-1", "2312.13139", "joint",
        "Generative pretraining on video helps the policy, and so does predicting a future frame beside the action."),
    _row(20, "gr2", "GR-2", "2410.06158", "joint",
        "A distribution of trajectories executes where the mean of the demonstrations fails."),
    _row(21, "vpdd", "VPDD", "2402.14407", "representation",
        "Discrete video pretraining on people and robots makes a few labelled clips enough."),
    _row(22, "vpp", "Video Prediction Policy", "2412.14803", "representation",
        "Features of one denoising step towards the future beat features of the present and the codec's."),
    _row(23, "uva", "UVA", "2503.00200", "joint, representation",
        "Video and action learned in one latent beat action alone, at the latency of action alone."),
    _row(24, "uwm", "UWM", "2504.02792", "joint",
        "Independent noise levels let action-free video improve a policy; one network predicts forward and inverse."),
    _row(25, "video_policy", "Video Policy", "2508.00795", "representation",
        "Keeping the action's gradient out of the video network beats training both; video of new tasks helps there."),
    _row(26, "dit4dit", "DiT4DiT", "2603.10448", "representation",
        "Hidden states in the middle of a video transformer, at high noise, are the best input of an action head."),
    _row(27, "unipi", "UniPi", "2302.00111", "open loop",
        "Planning in video generalises to combinations of words new to cloning; executed blindly it is fragile."),
    _row(28, "this_and_that", "This&That", "2407.05530", "open loop",
        "Two clicked points say which object and where, where words cannot."),
    _row(29, "tesseract", "TesserAct", "2504.20995", "open loop",
        "Generating depth and normals with colour gives better actions than colour, most along the line of sight."),
    _row(30, "onex_self_learning", "1X World Model, self-learning", "", "open loop",
        "The best of several dreams succeeds more often than one, and training on own episodes raises that further."),
    _row(31, "dreamitate", "Dreamitate", "2406.16862", "open loop",
        "Generated stereo video of a person's tool is a policy, and generalises to new objects better than cloning."),
    _row(32, "gen2act", "Gen2Act", "2409.16283", "open loop",
        "A policy that reads a generated video of a person makes motions that the robot was never shown."),
    _row(33, "lvp", "Large Video Planner", "2512.15840", "open loop",
        "Guidance by history keeps long plans consistent; a plan of a hand becomes a motion of the robot."),
    _row(34, "mimic_video", "mimic-video", "2512.15692", "closed loop",
        "Actions need no finished video: decoding them early in denoising is as good, and faster."),
    _row(35, "lingbot_va", "LingBot-VA", "2601.21998", "closed loop",
        "Naive asynchronous execution collapses; grounded in a forward step with the running action it succeeds."),
    _row(36, "dva", "Direct Video Action", "", "closed loop",
        "Fully denoised video controls a robot in real time, and a long context solves tasks that need memory."),
)  # fmt: skip


OWN = (
    _row(0, "reference", "Reference", "", "synthesis, planning, evaluation, joint, closed loop",
        "One video model, trained from pixels by one command, simulates and acts."),
    _row(0, "cloning", "Behaviour cloning", "", "joint",
        "The baseline: the same network and data, and no video."),
)  # fmt: skip
"""presage's own model and its baseline. They are no published systems: they have recipes, and benches in place of a
check."""


def find(name: str) -> Row:
    """The system of a name, title or number, in whatever spelling; presage's own is `reference`.

    Raises:
        UserError: there is none.
    """
    plain = _plain(name)
    for row in (*ROWS, *OWN):
        if plain in (_plain(row.name), _plain(row.title), str(row.number)):
            return row
    close = get_close_matches(name.lower(), [row.name for row in ROWS], n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else "presage systems lists them"
    raise UserError(f"no system {name!r}: {hint}")


def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def has_recipe(row: Row) -> bool:
    return importlib.util.find_spec(f"presage.systems.{row.name}") is not None


def recipe(row: Row) -> ModuleType:
    """The module of a system's recipe.

    Raises:
        UserError: it has none yet.
    """
    if not has_recipe(row):
        raise UserError(f"{row.title} ({row.number}) has no recipe yet: presage systems shows which have")
    return importlib.import_module(f"presage.systems.{row.name}")
