"""Bench results as tables of Markdown, so that no figure of the documentation is typed by hand."""

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from presage.benchmarks import BENCHES
from presage.errors import UserError
from presage.results.output import show
from presage.results.runs import read_json

GOALS: dict[str, dict[str, tuple[str, float]]] = {
    "collect": {"frames_per_s": (">=", 84)},
    "codec": {"psnr": (">=", 34), "object_psnr": (">=", 28)},
    "loading": {"ratio": (">=", 20)},
    "interop": {"values_differ": ("<=", 0), "frames_max_difference": ("<=", 0)},
    "damage": dict.fromkeys(("traceback", "hang", "crash", "not_one_line", "silent", "filter_changed"), ("<=", 0)),
    "control": {"best use": (">=", 0.8), "best use minus success_bc": (">=", 0)},
    "realtime": {
        "replans_per_s_full": (">=", 20),
        "missed_full": ("<=", 0),
        "replans_per_s_no_imagination": (">=", 40),
    },
    "readers": {"hand_px": ("<", 0.7), "object_px/push-v3": ("<", 0.7), "called_there": ("<=", 0.05)},
    "dream": {
        "object_moved_psnr_16": (">=", 22),
        "object_moved_psnr_32": (">=", 21),
        "robot_psnr_16": (">=", 21),
        "object_px_8": ("<=", 1.5),
        "object_px_16": ("<=", 3),
        "sharpness_32": (">=", 0.85),
        "frozen": ("<=", 0),
        "knock_within_3px": (">=", 0.7),
        "knock_gone": ("<=", 0.05),
        "counterfactual_r_hand": (">=", 0.95),
        "counterfactual_r_object": (">=", 0.85),
        "shuffle_ratio": (">=", 2),
        "mass_r": (">=", 0.5),
        "random_weights/object_moved_psnr_16 minus copy_object_moved_psnr_16": ("<=", 0.5),
    },
    "cache": {"max_abs_difference": ("<=", 1e-4), "latency_ratio_256_16": ("<=", 1.3), "speedup_256": (">=", 8)},
    "evaluation": {
        "policies": (">=", 14),
        "pearson": (">=", 0.9),
        "mmrv": ("<=", 0.05),
        "pearson_close": (">=", 0.8),
        "hallucinated": ("<=", 0.15),
        "missed": ("<=", 0.15),
        "putback_success": ("<=", 0.05),
    },
    "recordings": {
        "gate_wrong": ("<=", 0),
        "gate_right/model": (">=", 1),
        "gate_right/random_weights": (">=", 1),
        "gate_right/copy": (">=", 1),
        "gate_right/shuffled_actions": (">=", 1),
        "gate_right/three_episodes": (">=", 1),
        "policies": (">=", 12),
        "pearson": (">=", 0.9),
        "mmrv": ("<=", 0.06),
        "hallucinated": ("<=", 0.15),
        "video_replay_ratio": (">=", 0.8),
        "video_shuffled_ratio": (">=", 2),
    },
    "planning": {
        "gain_imagination": (">=", 0.1),
        "gain_imagination_low": (">", 0),
        "gain_over_random": (">", 0),
    },
    "synthesis": {
        "replay_ratio": (">=", 0.8),
        "shuffled_error_ratio": (">=", 2),
        "video_replay_ratio": (">=", 0.8),
        "video_shuffled_ratio": (">=", 2),
    },
    "representation": {
        "success_features minus success_random_weights": (">", 0),
        "success_features minus success_codec": (">", 0),
        "success_features minus success_reader": (">", 0),
    },
    "backbone": {
        "published_difference": ("<=", 1e-4),
        "max_abs_difference": ("<=", 1e-4),
        "future_leak": ("<=", 0),
        "loss_before_lora minus loss_after_lora": (">", 0),
        "loss_before_full minus loss_after_full": (">", 0),
        "round_trip_difference_lora": ("<=", 0),
    },
    "serving": {
        "cross_talk": ("<=", 0),
        "malformed_not_refused": ("<=", 0),
        "rss_growth": ("<=", 0.05),
        "exit_code": ("<=", 0),
    },
    "play": {
        "frames_per_s": (">=", 10),
        "p95_ms": ("<", 150),
        "rss_growth": ("<=", 0.05),
        "players_difference": ("<=", 0),
        "reload_resumes": (">=", 1),
    },
    "worlds": {
        "expert/pusht": (">=", 0.9),
        "expert/fetch": (">=", 0.9),
        "snapshot_difference/pusht": ("<=", 0),
        "snapshot_difference/fetch": ("<=", 0),
    },
    "throughput": {"ratio_16": (">=", 1.0)},
    "training": {"ceiling_share": (">=", 0.33)},
}
"""bench -> figure -> what presage sets out to reach. "a minus b" is a difference; "best use" is control's best."""

TITLE = "# Figures"
NO_FIGURES = f"""{TITLE}

Made by `presage figures` from the files that `presage bench NAME --json FILE` writes; each table names the \
command that prints it again. Success rates are followed by their 95 % Wilson interval, correlations by a \
bootstrap interval over policies. Episode seeds are below 600000, where training has none.
"""
"""A page without any section"""

CONTROL_USES = ("success_joint", "success_closed_loop", "success_open_loop", "success_no_imagination")


def read_record(file: Path) -> dict[str, Any]:
    """A result of `presage bench --json`.

    Raises:
        UserError: as `read_json`, or it lacks a field, or is of no bench.
    """
    record = read_json(file)
    fields = ("bench", "figures", "command", "seed", "checkpoint", "commit", "versions", "machine")
    missing = [field for field in fields if field not in record]
    if missing or record["bench"] not in BENCHES:
        what = f"has no field {missing[0]!r}" if missing else f"is of an unknown bench {record['bench']!r}"
        raise UserError(f"{file} {what}: it is not a result of presage bench --json")
    return record


def reached(bench: str, figures: Mapping[str, Any]) -> list[tuple[str, float | None, str, bool]]:
    """(figure, value, goal, whether it is reached) for the goals of a bench; what was not measured, or is no number,
    is not reached."""
    out = []
    for name, (sign, bound) in GOALS.get(bench, {}).items():
        value = _value(figures, name)
        holds = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}[sign]
        good = value is not None and holds(value, bound)
        out.append((name, value, f"{sign} {show(bound)}", good))
    return out


def _value(figures: Mapping[str, Any], name: str) -> float | None:
    parts = [_one(figures, part) for part in name.split(" minus ")]
    if any(part is None for part in parts):
        return None
    return parts[0] - sum(parts[1:])  # type: ignore[operator, arg-type]


def _one(figures: Mapping[str, Any], name: str) -> float | None:
    if name == "best use":
        return max((x for x in (_one(figures, use) for use in CONTROL_USES) if x is not None), default=None)
    value = figures.get(name)
    return value if isinstance(value, int | float) else None


def read_page(file: Path) -> str:
    """The text of a file that `render` made; `NO_FIGURES` where there is none.

    Raises:
        UserError: it begins otherwise, so somebody else wrote it.
    """
    if not file.exists():
        return NO_FIGURES
    try:
        text = file.read_text()
    except UnicodeDecodeError:
        text = ""
    if text.partition("\n")[0].rstrip() != TITLE:
        raise UserError(f"{file} does not begin with {TITLE!r}, and would be overwritten: name another --out")
    return text


def render(records: Mapping[str, dict[str, Any]], page: str = NO_FIGURES) -> str:
    """The Markdown `page` with the sections of benches: in place of those that it has, else in the order of `presage
    bench --help`. Everything else in it stays where it is."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    order = list(BENCHES)
    for name in (name for name in order if name in records):
        there = [part.partition("\n")[0].removeprefix("## ").rstrip() for part in parts]
        if name in there:
            parts[there.index(name)] = _section(name, records[name])
        else:
            after = [place for place, other in enumerate(there) if other in order[order.index(name) :]]
            parts.insert(min(after, default=len(parts)), _section(name, records[name]))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _section(name: str, record: dict[str, Any]) -> str:
    from presage.results.provenance import arithmetic

    figures = record["figures"]
    lines = [f"## {name}", "", f"{BENCHES[name][1][0].upper()}{BENCHES[name][1][1:]}.", ""]
    goals = reached(name, figures)
    if goals:
        lines += ["| goal | value | |", "|---|---|---|"]
        lines += [f"| {f} {goal} | {show(value)} | {verdict(value, good)} |" for f, value, goal, good in goals]
        lines.append("")
    single = {k: v for k, v in figures.items() if "/" not in k and not k.endswith(("_low", "_high"))}
    lines += ["| figure | value |", "|---|---|"]
    lines += [f"| {k} | {_with_bounds(figures, k)} |" for k in single]
    lines.append("")
    lines += _by_item({k: v for k, v in figures.items() if "/" in k and not k.endswith(("_low", "_high"))})
    machine = record["machine"]
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
    where = f"{machine['cpu']}, {machine['cores']} cores, {arithmetic(machine)}{gpu}"
    versions = f"torch {record['versions'].get('torch')}, mujoco {record['versions'].get('mujoco')}"
    checkpoint = f"{record['checkpoint']['name']} ({record['checkpoint']['sha256']})"
    lines += [f"`{record['command']}`", ""]
    lines += [f"Checkpoint {checkpoint}, seed {record['seed']}, commit {record['commit']}, {versions}; {where}.", ""]
    return "\n".join(lines)


def verdict(value: float | None, good: bool) -> str:
    return "not measured" if value is None else "reached" if good else "**not reached**"


def _with_bounds(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    bounds = "" if low is None or high is None else f" [{show(low)}, {show(high)}]"
    return f"{show(figures[name])}{bounds}"


def _by_item(figures: Mapping[str, Any]) -> list[str]:
    """`name/item` figures as one table: items down, names across."""
    if not figures:
        return []
    pairs = [key.split("/", 1) for key in figures]
    names, items = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
    rows = [f"| {i} | " + " | ".join(show(figures.get(f"{n}/{i}")) for n in names) + " |" for i in items]
    return ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|", *rows, ""]
