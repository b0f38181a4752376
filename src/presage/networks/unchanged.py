"""The simplest base prediction: what is seen next is what was seen last, and the network says what changes.

V-JEPA 2-AC reads its answer where it is shown the newest patch, so the residual stream hands that patch on (Assran et
al. 2025, section 3.1); a question of its own begins with nothing. With this it begins where theirs does.
"""

from dataclasses import dataclass

from torch import Tensor

from presage.timeline.backbone import Condition, Window
from presage.timeline.streams import Values


@dataclass(frozen=True)
class Unchanged:
    """Implements `timeline.backbone.Base`."""

    streams: tuple[str, ...]
    """Of what is seen; what the robot does has no last time"""
    redraws = False

    def remember(self, values: Values, before: Values, carried: Tensor | None) -> Tensor | None:
        return None

    def complete(self, values: Values, carried: Tensor | None, given: Values) -> Values:
        return given

    def __call__(self, newest: Values, carried: Tensor | None, question: Window, condition: Condition) -> Values:
        held = [name for name in self.streams if name in question.levels and name in newest]
        return {name: newest[name] for name in held if bool(question.levels[name].any())}
