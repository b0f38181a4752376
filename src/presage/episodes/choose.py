"""Which episodes of a dataset: by number, or by what is known of them."""

import re
from dataclasses import dataclass

from presage.episodes.metadata import EpisodeRecord
from presage.errors import UserError

MOST_EPISODES = 10_000_000
UNEXPLAINED = "unexplained"
"""Fact of a dreamed episode: the share of its motion that its labels do not bring back (`simulator.synthesis`)"""


def parse_episodes(text: str) -> list[int]:
    """Ascending episode numbers of `0:50` (50 is not in it) or `3,7,20:30`.

    Raises:
        UserError: it is neither.
    """
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"([0-9]{1,12})(?::([0-9]{1,12}))?", part)
        if match is None or (match[2] is not None and int(match[2]) <= int(match[1])):
            raise UserError(f"episodes {text!r}: write numbers and spans, for example 0:50 or 3,7,20:30")
        first = int(match[1])
        behind = first + 1 if match[2] is None else int(match[2])
        if behind - first > MOST_EPISODES:
            raise UserError(f"episodes {text!r}: a span holds {MOST_EPISODES:,} episodes at most")
        numbers |= set(range(first, behind))
    return sorted(numbers)


@dataclass(frozen=True)
class Wanted:
    """Conditions on episodes; all that are given have to hold."""

    contains: str | None = None
    """Part of the instruction or of the fact `task`, whatever its case."""
    success: bool | None = None
    """Episodes of which it is unknown do not meet the condition."""
    min_length: int | None = None
    max_length: int | None = None
    """Rows."""
    numbers: frozenset[int] | None = None
    unexplained: float | None = None
    """The most of the fact of that name, which dreams have; episodes without it do not meet the condition."""

    def holds(self, episode: EpisodeRecord, success: bool | None) -> bool:
        """success: of the episode, None where unknown (`outcome.episode_success`)."""
        told = f"{episode.instruction}\n{episode.info.get('task', '')}".lower()
        return (
            (self.contains is None or self.contains.lower() in told)
            and (self.success is None or success == self.success)
            and (self.min_length is None or episode.length >= self.min_length)
            and (self.max_length is None or episode.length <= self.max_length)
            and (self.numbers is None or episode.index in self.numbers)
            and (self.unexplained is None or _unexplained(episode) <= self.unexplained)
        )


def _unexplained(episode: EpisodeRecord) -> float:
    """Not a number where it is unknown."""
    value = episode.info.get(UNEXPLAINED)
    return float(value) if isinstance(value, int | float) else float("nan")
