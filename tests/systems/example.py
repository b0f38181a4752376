"""A finished check of a system that does not exist, for tests."""

import numpy as np

from presage.systems.lab.check import Arm, CheckResult
from presage.systems.lab.starts import Block
from presage.systems.lab.verdict import Sanity, judge
from presage.systems.table import find


def make_result(better: float = 0.4, name: str = "uwm", quick: bool = False) -> CheckResult:
    control = (np.random.default_rng(0).random((3, 50)) < 0.4).astype(float)
    arm = np.maximum(control, np.random.default_rng(1).random((3, 50)) < better)
    verdict = judge({"with video": arm, "without": control}, "with video", {"without": 0.1},
                    [Sanity("sees the frame", 0.5, True, "above 0.33")])  # fmt: skip
    rows = {each: tuple(map(tuple, values.tolist())) for each, values in (("with video", arm), ("without", control))}
    arms = tuple(
        Arm(each, values, 600.0, 1_800_000, 7_403, 2_000, {"action error": 0.1}) for each, values in rows.items()
    )
    return CheckResult(find(name), "success", arms, verdict, (0, 1, 2), Block("verdict", 2), quick, 1_500.0,
                       notes=("A <note>.",), command=f"presage systems check {name}", machine={"cores": 2})  # fmt: skip
