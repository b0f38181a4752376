"""A system is a value: a paper's model, training and use, as choices over shared parts.

A recipe is a function from the shape of the data to a `System`. It chooses; it holds no loop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from presage.networks.composed import Composed, Shape
from presage.systems.table import find
from presage.training.stage import Stage
from presage.worlds.protocol import Policy


@dataclass(frozen=True)
class Card:
    """What a system is."""

    number: int
    """Of the table of systems"""
    name: str
    paper: str
    """arXiv number"""
    uses: tuple[str, ...]
    claim: str
    """The paper's central claim, as the check tests it"""

    @staticmethod
    def of(name: str) -> "Card":
        """As the table of systems says it."""
        row = find(name)
        return Card(row.number, row.title, row.paper, row.uses, row.claim)


@dataclass(frozen=True)
class Size:
    """One dial: widths, depths and steps follow."""

    name: str
    width: int
    layers: int
    heads: int
    channels: int
    """of convolutional networks"""
    steps: float
    """a stage's steps are multiplied by it"""
    batch: int = 0
    """a step has at least so many windows"""


DEBUG = Size("debug", 32, 2, 2, 8, 0.002)
SMALL = Size("small", 160, 6, 4, 32, 1.0)
BRIEF = Size("brief", 160, 6, 4, 32, 0.5)
"""`SMALL`, trained half as long"""
BASE = Size("base", 256, 8, 8, 64, 3.0)
"""As many steps of `reference` as two cores take in about eight hours, at 1.4 s a step"""
CARD = Size("card", 256, 8, 8, 64, 0.3, batch=256)
"""`BASE` for a card, which computes many windows as fast as few: fewer steps, and more windows in all"""
TUNED = Size("tuned", 256, 8, 8, 64, 0.25)
"""`BASE`, to begin with weights that are trained already; takes about as long as `BRIEF`"""
SIZES = {size.name: size for size in (DEBUG, BRIEF, SMALL, TUNED, BASE, CARD)}
SHORTER = {"base": "tuned", "card": "tuned", "small": "brief"}
"""Size -> that of the same networks, for weights that are trained already"""


@dataclass(frozen=True)
class System:
    card: Card
    build: Callable[[Shape], Composed]
    """A fresh model"""
    stages: tuple[Stage, ...]
    uses: Mapping[str, Callable[[Composed, int], Policy]] = field(default_factory=dict)
    """Name -> the model in that use, as a policy (model, seed)"""

    def with_stage(self, name: str, **changes: Any) -> "System":
        """The same with a stage changed: an arm of a check.

        Raises:
            ValueError: there is no such stage.
        """
        if name not in [s.name for s in self.stages]:
            raise ValueError(f"{self.card.name} has no stage {name!r}")
        stages = tuple(replace(s, **changes) if s.name == name else s for s in self.stages)
        return replace(self, stages=stages)
