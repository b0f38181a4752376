"""When is a claim shown? The rule that every check is judged by.

*Shown*: the difference to every control reaches its margin, its 95 % interval lies above 0, all training seeds have the
same sign, and every sanity line holds. *Refuted* at this scale: the interval of the hardest control lies below half the
margin. *Not shown*: all else, with its reason. Intervals are those of a hierarchical bootstrap: over training seeds,
then over starts inside; the two arms of a difference share seeds and starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from presage.errors import UserError
from presage.measures.statistics import Interval, percentile_bounds, resample_counts

Outcome = Literal["shown", "not shown", "refuted"]
FLOOR, CEILING = 0.15, 0.85
"""Between which the success rate of a control must lie on tuning starts, or there is no room to be worse or better."""
AT_CHANCE = 0.08
"""Distance from a stated chance level at which a control counts as being there."""
RESAMPLES = 10_000
ONE_SEED = "one training seed: the interval knows nothing of training"


@dataclass(frozen=True)
class Sanity:
    """A line without which a verdict means nothing: what was measured, what must hold, and whether it does."""

    name: str
    value: float
    holds: bool
    must: str = ""


@dataclass(frozen=True)
class Comparison:
    """An arm against a control: mean difference over seeds and starts with its 95 % interval, and that of each training
    seed alone."""

    control: str
    margin: float
    difference: Interval
    by_seed: tuple[float, ...]

    @property
    def slack(self) -> float:
        """How far the difference is beyond its margin."""
        return self.difference.value - self.margin

    @property
    def same_sign(self) -> bool:
        return all(each > 0 for each in self.by_seed)


@dataclass(frozen=True)
class Verdict:
    """What a check says of its claim.

    comparisons: the hardest control first. reason: in a few words; of a claim that is shown, what limits it, or empty.
    """

    outcome: Outcome
    reason: str
    arm: str
    comparisons: tuple[Comparison, ...]
    sanity: tuple[Sanity, ...]
    seeds: int
    starts: int
    """Of each training seed."""

    @property
    def words(self) -> str:
        """`shown`, `not shown (floor: ...)` or `refuted at this scale`; whether it rests on one training seed."""
        if self.outcome == "refuted":
            return f"refuted at this scale ({ONE_SEED})" if self.seeds == 1 else "refuted at this scale"
        return f"{self.outcome} ({self.reason})" if self.reason else self.outcome


def paired_difference(arm: ArrayLike, control: ArrayLike, seed: int = 0) -> Interval:
    """Mean of arm minus control, each (seeds, starts), with the percentile interval of a bootstrap over training seeds
    and, inside each drawn seed, over starts. With one seed it is over starts alone, and knows nothing of training.

    Raises:
        ValueError: the shapes differ, something is missing or is not finite.
    """
    a, b = np.asarray(arm, float), np.asarray(control, float)
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise ValueError(f"outcomes of both arms are (seeds, starts), got {a.shape} and {b.shape}")
    difference = a - b
    if not np.isfinite(difference).all():
        raise ValueError("outcomes must be finite")
    seeds, starts = difference.shape
    rng = np.random.default_rng((seed, 1))
    total = np.zeros(RESAMPLES)
    for _ in range(seeds):  # places of a resample, each with its own draw of a seed and of starts
        drawn = rng.integers(seeds, size=RESAMPLES)
        counts = resample_counts(starts, RESAMPLES, seed=int(rng.integers(2**32)))
        for one in range(seeds):
            total[drawn == one] += counts[drawn == one] @ difference[one] / starts
    mean = float(difference.mean())
    low, high = percentile_bounds(total / seeds, 0.95)
    return Interval(mean, min(low, mean), max(high, mean))  # rounding


def compare(outcomes: Mapping[str, ArrayLike], arm: str, control: str, margin: float) -> Comparison:
    """One arm against one control. outcomes: arm -> (seeds, starts)."""
    a, b = np.asarray(outcomes[arm], float), np.asarray(outcomes[control], float)
    interval = paired_difference(a, b)
    return Comparison(control, margin, interval, tuple((a - b).mean(1).tolist()))


def judge(
    outcomes: Mapping[str, ArrayLike],
    arm: str,
    margins: Mapping[str, float],
    sanity: Sequence[Sanity] = (),
    tuning: Mapping[str, float] | None = None,
    chance: float | None = None,
) -> Verdict:
    """The verdict on "`arm` is better than each of its controls by their margin".

    outcomes: arm -> (seeds, starts), larger is better; the same seeds and starts in every arm.
    margins: control -> the difference that has to be reached, above 0.
    tuning: control -> its success rate on tuning starts, which must lie in `FLOOR ... CEILING`; None for figures that
        are no success rates.
    chance: rate of a control that can only guess; a control there needs no room below.

    Raises:
        ValueError: there is no control, a margin is not positive, or outcomes do not fit together.
    """
    if not margins or min(margins.values()) <= 0:
        raise ValueError(f"a verdict needs controls with margins above 0, got {dict(margins)}")
    comparisons = sorted((compare(outcomes, arm, *each) for each in margins.items()), key=lambda c: c.slack)
    outcome, reason = _rule(comparisons, sanity, _no_room(margins, tuning or {}, chance))
    seeds, starts = np.asarray(outcomes[arm]).shape
    if seeds == 1 and outcome == "shown":
        reason = ONE_SEED
    return Verdict(outcome, reason, arm, tuple(comparisons), tuple(sanity), seeds, starts)


def judge_equal(
    outcomes: Mapping[str, ArrayLike], arm: str, reference: str, margin: float, less: str, sanity: Sequence[Sanity] = ()
) -> Verdict:
    """The verdict on "`arm` is as good as `reference`, to within `margin`".

    Where nothing matters, equality means nothing: `less`, an arm with less of what is claimed to be dispensable, has to
    be worse than `arm`, its interval above 0.

    Raises:
        ValueError: as `judge`.
    """
    if margin <= 0:
        raise ValueError(f"a margin lies above 0, got {margin}")
    equal, worse = compare(outcomes, arm, reference, -margin), compare(outcomes, arm, less, 0.0)
    outcome: Outcome = "not shown"
    if broken := [line.name for line in sanity if not line.holds]:
        reason = f"a part does not work: {', '.join(broken)}"
    elif equal.difference.high < -margin:
        outcome, reason = "refuted", f"worse than {reference} by more than the margin"
    elif equal.difference.low <= -margin:
        reason = f"noise: it may be worse than {reference} by more than the margin"
    elif worse.difference.low <= 0:
        reason = f"{less} does as well, so being equal means nothing"
    else:
        outcome, reason = "shown", ""
    seeds, starts = np.asarray(outcomes[arm]).shape
    return Verdict(outcome, reason, arm, (equal, worse), tuple(sanity), seeds, starts)


def _no_room(margins: Mapping[str, float], tuning: Mapping[str, float], chance: float | None) -> str:
    for control in margins:
        rate = tuning.get(control)
        if rate is None or (chance is not None and abs(rate - chance) <= AT_CHANCE):
            continue
        if not FLOOR <= rate <= CEILING:
            return f"{'floor' if rate < FLOOR else 'ceiling'}: {control} reaches {rate:.2f} on tuning starts"
    return ""


def _rule(comparisons: Sequence[Comparison], sanity: Sequence[Sanity], no_room: str) -> tuple[Outcome, str]:
    """Outcome and reason. What makes the comparison meaningless comes before what it says."""
    hardest = comparisons[0]
    broken = [line.name for line in sanity if not line.holds]
    if broken:
        return "not shown", f"a part does not work: {', '.join(broken)}"
    if no_room:
        return "not shown", no_room
    if hardest.difference.high < hardest.margin / 2:
        return "refuted", f"less than half the margin to {hardest.control}"
    if hardest.slack < 0:
        return "not shown", f"{hardest.control} does nearly as well"
    for each in comparisons:
        if each.difference.low <= 0:
            return "not shown", f"noise: the interval to {each.control} includes 0"
        if not each.same_sign:
            return "not shown", f"noise: a training seed is no better than {each.control}"
    return "shown", ""


# -- JSON
# ---------------------------------------------------------------------------------------------------------


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    return asdict(verdict) | {"comparisons": [_comparison_to_json(each) for each in verdict.comparisons]}


def _comparison_to_json(each: Comparison) -> dict[str, Any]:
    return asdict(each) | {"difference": each.difference._asdict()}


def verdict_from_json(content: Mapping[str, Any]) -> Verdict:
    """What `verdict_to_json` made.

    Raises:
        UserError: a field is missing or has another type.
    """
    try:
        if content["outcome"] not in get_args(Outcome):
            raise ValueError(f"outcome {content['outcome']!r}")
        comparisons = [
            Comparison(c["control"], c["margin"], Interval(**c["difference"]), tuple(c["by_seed"]))
            for c in content["comparisons"]
        ]
        sanity = [Sanity(**line) for line in content["sanity"]]
        return Verdict(**{**content, "comparisons": tuple(comparisons), "sanity": tuple(sanity)})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"this is no verdict ({error}): run the check again") from None
