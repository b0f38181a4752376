"""What the columns of a dataset are called, and which of them a person or a name means.

One reading for every command: `presage inspect` shows what `presage train` takes.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.features import is_numeric
from presage.errors import UserError

GRIPPER_NAME = re.compile(r"grip|jaw|claw|hand_open", re.IGNORECASE)
FINGER_NAME = re.compile(r"finger", re.IGNORECASE)
MOST_FINGERS = 4
"""Fingers of two parallel grippers. Where more numbers are called fingers they are the joints of a hand."""
POSE_NAME = re.compile(r"(^|[._ /-])[rq]?[xyzw]$|(roll|pitch|yaw)$", re.IGNORECASE)
"""Where a gripper is, not how far it is open: `gripper_x`, `gripper_yaw`."""
ACTION_LIKE = re.compile(r"action|command|cmd|target|control|ctrl", re.IGNORECASE)
STATE_LIKE = re.compile(r"state|joint|qpos|proprio|pose|position|eef|tcp", re.IGNORECASE)
OWN_COLUMNS = re.compile(
    r"timestamp|frame_index|episode_index|index|task_index|quality|success|(next|counterfactual)\..*|.*\.valid"
)
"""Columns whose meaning the format or presage lays down."""


@dataclass(frozen=True)
class Columns:
    """Some of the numbers of a feature, in order."""

    feature: str
    numbers: list[int]
    """Positions within the feature, flattened."""
    names: list[str]
    """A name for each; `<feature>[3]` where the dataset has none."""
    slot: str = ""
    """Slot of a vector that several robots share; empty: the vector is this robot's alone."""

    @property
    def named(self) -> bool:
        """Whether the dataset names them."""
        return any(name not in (self.feature, f"{self.feature}[{i}]") for i, name in zip(self.numbers, self.names))


def column_names(feature: dict[str, Any], name: str) -> list[str]:
    """A name for every number of a feature, no two alike: those of info.json where they are as many, `<feature>[i]`
    elsewhere.

    Names are a list, `{"motors": [...]}`, several groups (`left.joint0`, `right.joint0`), or positions by name. What is
    named twice in a list is told apart by its place among its like: `gripper#1`, `gripper#2`.
    """
    shape = [int(n) for n in feature["shape"]]
    size = int(np.prod(shape))
    given = _given_names(feature.get("names"), shape)
    if len(given) != size:
        return [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]
    often, seen, out = Counter(given), Counter[str](), []
    for text in given:
        seen[text] += 1
        out.append(text if often[text] == 1 else f"{text}#{seen[text]}")
    return out


def _given_names(names: Any, shape: Sequence[int]) -> list[str]:
    """The names in info.json, in the order of the numbers; none where they cannot be understood."""
    if (
        isinstance(names, list)
        and all(isinstance(x, list) for x in names)
        and [len(x) for x in names] == list(shape) != []
    ):
        if len(shape) > 1 and sum(shape) == int(np.prod(shape)):
            return []  # 2 x 2: a name for every number, or for every row and column
        names = [".".join(map(str, place)) for place in product(*names)]
    try:
        told = list(_flatten(names, ""))
    except TypeError:
        return []
    places = [place for _, _, place in told]
    if all(place is None for place in places):
        return [text for _, text, _ in told]
    groups = [list(group) for _, group in groupby(told, key=lambda entry: entry[0])]
    if set(places) == set(range(len(told))):
        groups = [told]
    elif any({place for _, _, place in group} != set(range(len(group))) for group in groups):
        return []
    return [text for group in groups for _, text, _ in sorted(group, key=lambda entry: entry[2] or 0)]


def _flatten(names: Any, group: str) -> Iterator[tuple[str, str, int | None]]:
    """(group, name, position where it is told) of every number."""
    if isinstance(names, str):
        yield group, group + names, None
    elif isinstance(names, list):
        for name in names:
            yield from _flatten(name, group)
    elif isinstance(names, dict):
        for key, value in names.items():
            if isinstance(value, int):
                yield group, f"{group}{key}", value
            else:
                yield from _flatten(value, f"{group}{key}." if len(names) > 1 else group)
    else:
        raise TypeError(f"no names: {names!r}")


def numeric_features(dataset: Dataset) -> list[str]:
    """Features made of numbers."""
    return [name for name, feature in dataset.features.items() if is_numeric(feature)]


def look_alikes(dataset: Dataset, what: str) -> list[str]:
    """Features of numbers that may be the `action` or the `state`, going by their names."""
    free = [
        n for n in numeric_features(dataset) if not OWN_COLUMNS.fullmatch(n) and dataset.features[n]["dtype"] != "bool"
    ]
    actions = [n for n in free if ACTION_LIKE.search(n)]
    return actions if what == "action" else [n for n in free if n not in actions and STATE_LIKE.search(n)]


def find_grippers(names: Sequence[str], values: np.ndarray | None = None) -> list[bool]:
    """Which numbers of a feature open and close a gripper: those named like one, and those that jump between two
    values.

    names: of all numbers of the feature. values: (N, D) what was recorded of them; none: names alone decide.
    """
    fingers = [FINGER_NAME.search(name) is not None for name in names]
    hand = sum(fingers) > MOST_FINGERS
    named = [
        (GRIPPER_NAME.search(name) is not None or (finger and not hand)) and not POSE_NAME.search(name)
        for name, finger in zip(names, fingers, strict=True)
    ]
    if values is None or not len(values):
        return named
    return [told or _jumps(values[:, i]) for i, told in enumerate(named)]


def _jumps(values: np.ndarray) -> bool:
    """Whether a number has two values and hardly any between them."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return False
    closed, opened = values <= low + 0.05 * (high - low), values >= high - 0.05 * (high - low)
    ends = float(closed.mean()), float(opened.mean())
    return (min(ends) > 0.02 and sum(ends) > 0.95) or bool(((values == low) | (values == high)).all())


def parse_columns(dataset: Dataset, text: str) -> Columns:
    """The columns that `observation.state`, `action:0-5,7` or `action:left_elbow@arm` stand for.

    Raises:
        UserError: one does not exist.
    """
    plain, _, slot = text.partition("@")
    name, _, numbers = plain.partition(":")
    if name not in numeric_features(dataset):
        raise UserError(
            f"{dataset.root}: no feature {name!r} of numbers; it has {', '.join(numeric_features(dataset))}"
        )
    names = column_names(dataset.features[name], name)
    chosen = parse_numbers(numbers, names, f"{dataset.root}: {text!r}") if numbers else list(range(len(names)))
    return Columns(name, chosen, [names[i] for i in chosen], slot)


def parse_numbers(text: str, names: Sequence[str], where: str) -> list[int]:
    """Positions that `0-5,7` or `left_elbow,left_grip` stand for.

    Raises:
        UserError: one does not exist, or may be one of several.
    """
    chosen: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        place = int(part) if part.isdecimal() else None
        if part in names and place in (None, list(names).index(part)):
            chosen.append(list(names).index(part))
            continue
        if part in names:
            there = list(names).index(part)
            raise UserError(f"{where}: {part!r} is the name of column {there}; write {there}-{there} or {part}-{part}")
        alike = [name for name in names if re.fullmatch(re.escape(part) + r"#\d+", name) or name.endswith(f".{part}")]
        if len(alike) > 1:
            raise UserError(f"{where}: {part!r} may be {' or '.join(alike)}: write which")
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (0, -1)
        if not first <= last < len(names):
            raise UserError(f"{where}: no column {part!r}; there are {', '.join(names)} (or 0-{len(names) - 1})")
        chosen += range(first, last + 1)
    return chosen


def told_apart(parts: Sequence[Columns], standard: str) -> list[Columns]:
    """Columns of several features with no two names alike: those of a feature other than `standard` get its name in
    front, `effort.joint0` of `observation.effort`.

    Raises:
        UserError: a number is chosen twice.
    """
    places = Counter((part.feature, number) for part in parts for number in part.numbers)
    for (feature, number), count in places.items():
        if count > 1:
            raise UserError(f"column {number} of {feature!r} is chosen {count} times; name it once")
    often = Counter(name for part in parts for name in part.names)
    return [
        part
        if part.feature == standard or all(often[name] == 1 for name in part.names)
        else Columns(part.feature, part.numbers, [f"{_kind(part.feature)}.{name}" for name in part.names], part.slot)
        for part in parts
    ]


def _kind(feature: str) -> str:
    """`left` of `action.left` and of `observation.state.left`, so that these find each other."""
    return re.sub(r"^(action|observation\.state|observation|state)\.", "", feature)
