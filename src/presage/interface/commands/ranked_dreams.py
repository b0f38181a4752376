"""What `presage evaluate --data` says of policies that were dreamed alone: figures for --json, and lines of the
summary."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from presage.results.output import show_rate
from presage.results.tables import success_figures
from presage.simulator.certainty import SURE, compare
from presage.simulator.familiar import warning

if TYPE_CHECKING:
    from presage.simulator.ranking import Imagined, Referee

CURVE = (50, 80, 100)
"""Percent of the recorded episodes of the curve that the summary shows; --json has all"""


def figures_of(referee: "Referee", imagined: Mapping[str, "Imagined"]) -> dict[str, Any]:
    """`imagined/<policy>` of all episodes and `sure/<policy>` of the answered ones, with bounds; `answered/<policy>`
    and `far_off/<policy>`, shares; for every pair `<one> - <other>` `difference/`, with bounds, `pairs/`, how many
    episodes are answered for both, and `verdict/`; and of the recorded actions dreamed again what came of them and the
    abstention curve."""
    figures: dict[str, Any] = {}
    answers = {name: one.answers for name, one in imagined.items()}
    for name, said in answers.items():
        figures |= success_figures(f"imagined/{name}", said.called.tolist())
        if said.given.any():
            figures |= success_figures(f"sure/{name}", said.called[said.given].tolist())
        figures[f"answered/{name}"] = float(said.given.mean())
        if referee.familiar is not None:
            figures[f"far_off/{name}"] = imagined[name].unlike
    for one, other in combinations(answers, 2):
        pair, name = compare(answers[other], answers[one]), f"{other} - {one}"
        figures |= {f"verdict/{name}": pair.says, f"pairs/{name}": pair.both}
        figures |= {f"difference/{name}{end}": x for end, x in zip(("", "_low", "_high"), pair.apart, strict=True)}
    return figures | recorded_figures(referee)


def recorded_figures(referee: "Referee") -> dict[str, Any]:
    """Of recorded episodes with known outcome, each judged by a curve that was fitted to others."""
    told, curve = referee.recorded, referee.curve()
    figures: dict[str, Any] = {"recorded_episodes": len(referee.truth), "sure_from": SURE, "dreams": len(referee.seeds)}
    if told is None or curve is None:
        return figures
    figures |= success_figures("recorded", referee.truth.tolist())
    figures |= success_figures("imagined/recorded", told.called.tolist())
    figures |= {"answered/recorded": float(told.given.mean()), "recorded_balanced_accuracy": referee.accuracy}
    if told.given.any():
        figures |= success_figures("recorded_right", (told.called == referee.truth)[told.given].tolist())
    return figures | curve.figures()


def shown_of(figures: Mapping[str, Any], policies: Sequence[str]) -> dict[str, Any]:
    """The lines of the summary: every policy, each against the first one, and the recorded actions."""
    shown: dict[str, Any] = {}
    for name in policies:
        answered = figures[f"answered/{name}"]
        sure = f"{show_rate(figures, f'sure/{name}')} of the {100 * answered:.0f} % with an answer" if answered else "-"
        shown[name] = f"imagined {show_rate(figures, f'imagined/{name}'):<18} sure {sure}"
    first, *others = policies
    for other in others:
        name = f"{other} - {first}"
        shown[name] = figures[f"verdict/{name}"] + _apart(figures, name)
    told = [says for name, says in figures.items() if name.startswith("verdict/")]
    if len(told) > 1:
        shown["pairs"] = f"{sum(says != 'cannot tell' for says in told)} of {len(told)} are told apart"
    shown["recorded actions"] = _recorded(figures)
    warnings = [warning(name, figures.get(f"far_off/{name}", 0.0)) for name in policies]
    return shown | {f"warning {i + 1}": line for i, line in enumerate(filter(None, warnings))}


def _apart(figures: Mapping[str, Any], name: str) -> str:
    value, low, high = (figures[f"difference/{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return " (no episode has an answer for both)"
    return f" ({100 * value:+.0f} % [{100 * low:+.0f}, {100 * high:+.0f}] in {figures[f'pairs/{name}']} episodes)"


def _recorded(figures: Mapping[str, Any]) -> str:
    known = figures["recorded_episodes"]
    if not known:
        return "none of these has a known outcome and all its actions"
    again = f"imagined {show_rate(figures, 'imagined/recorded')}, recorded {show_rate(figures, 'recorded')}"
    right = ", ".join(f"{100 * figures[f'abstention_accuracy/{k}']:.0f} % of the surest {k} %" for k in CURVE)
    return f"{again} of {known} with known outcome; right {right}"
