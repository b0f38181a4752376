"""Checks of policies: one codec for all arms, figures of held-out pairs as sanity lines, and nothing done twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from tests.recorded import moving_square

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.systems.lab import policies
from presage.systems.lab.check import CheckResult
from presage.systems.lab.policies import LabData, Probe, Variant, compare_policies
from presage.systems.lab.probes import Pairs, by
from presage.systems.lab.starts import Start, tuning_block
from presage.systems.system import DEBUG
from presage.systems.table import find
from presage.systems.uwm import BOTH, FEW, uwm
from presage.timeline.levels import Schedule

STARTS = [Start("move", seed, far=False) for seed in range(4)]
VARIANTS = {
    name: Variant(lambda shape, data=data: uwm(shape, DEBUG, data), by(Schedule.marginal(2)))
    for name, data in (("with video", BOTH), ("without", FEW))
}

JUDGED: list[Composed] = []


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Composed]:
    """The lab replaced: a moving square, and a judge that notes whom it judges and lets every second succeed."""
    JUDGED.clear()

    def lab(quick: bool, labelled: int) -> LabData:
        free = moving_square(seed=1).without_labels(range(6))
        return LabData({"labelled": moving_square(), "free": free}, moving_square(episodes=2, seed=2))

    def success(use: object, starts: Sequence[Start], max_steps: int) -> policies.Judge:
        def judge(model: Composed, seed: int) -> list[float]:
            JUDGED.append(model)
            return [float(i % 2) for i in range(len(starts))]

        return judge

    monkeypatch.setattr(policies, "lab_data", lab)
    monkeypatch.setattr(policies, "success", success)
    monkeypatch.setattr(policies, "starts_of", lambda block, tasks, count, quick: STARTS)
    monkeypatch.setattr(policies, "block_of", lambda row, quick, out: tuning_block())
    return JUDGED


def ask(model: Composed, pairs: Pairs) -> Mapping[str, float]:
    return {"inverse / policy": 0.5}


def compare(out: Path, names: Sequence[str] = (), limit: float = 1.0) -> CheckResult:
    probe = Probe(ask, {"inverse / policy": limit})
    return compare_policies(find("uwm"), VARIANTS, {"without": 0.1}, probe, names, (0,), True, out)


def test_arms_share_a_codec_and_what_is_done_is_kept(judged: list[Composed], tmp_path: Path) -> None:
    result = compare(tmp_path)
    assert [arm.name for arm in result.arms] == ["with video", "without"]
    assert [arm.rows for arm in result.arms] == [96, 48]
    codecs = [list(model.codecs.parameters()) for model in judged]
    assert all(torch.equal(a, b) for other in codecs[1:] for a, b in zip(codecs[0], other, strict=True))

    count = len(judged)
    assert compare(tmp_path).arms == result.arms and len(judged) == count


def test_probes_are_lines_of_the_verdict(judged: list[Composed], tmp_path: Path) -> None:
    result = compare(tmp_path)
    assert result.verdict is not None
    assert [(line.name, line.value, line.holds) for line in result.verdict.sanity] == [("inverse / policy", 0.5, True)]
    assert set(result.arms[0].figures) == {"on tuning starts", "action error"}
    broken = compare(tmp_path, limit=0.4).verdict
    assert broken is not None and broken.words == "not shown (a part does not work: inverse / policy)"


def test_without_all_arms_there_is_no_verdict(judged: list[Composed], tmp_path: Path) -> None:
    assert compare(tmp_path, ["without"]).verdict is None
    with pytest.raises(UserError, match="has no arm 'witout': there are with video, without"):
        compare(tmp_path, ["witout"])
