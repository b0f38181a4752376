"""Commands on recordings, without a simulator: what they say of held-out episodes, and what they refuse."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import forget_outcomes, write_robot
from tests.interface.test_cli import refused
from tests.servers import serving
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.labels import Labels, beside, known_by, write_labels
from presage.episodes.marks import all_marks
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.episodes.steps import Steps
from presage.interface.cli import main
from presage.policy.embodied import choose_robot
from presage.serving.server import PolicyServer
from presage.simulator.success import Threshold, save_threshold
from presage.training.checkpoint import save_model, weights_hash
from presage.training.recorded import joined, read_recorded

TASK = "lift the cube"
HOW = ["--data", "arm", "--checkpoint", "run", "--max-steps", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight episodes of an arm, of which every second succeeded, and a model that was trained on the first two."""
    folder = tmp_path_factory.mktemp("recordings")
    arm = write_robot(folder / "arm", ("front", "top"), joints=4, length=21, fps=20, episodes=8)
    robot = Robot.from_dataset(Dataset(arm))
    write_episodes([Dataset(arm, [0, 1])], folder / "seen")
    write_episodes([Dataset(arm, [2, 4])], folder / "good")
    facts = {"robots": [robot.to_config()], "slots": asdict(Slots.of([robot]))}
    save_model(tiny_model(), folder / "run", "# card", facts | {"trained_on": all_marks([Dataset(folder / "seen")])})
    save_model(tiny_model(seed=1), folder / "other", "# card", facts)
    late = Robot.from_dataset(Dataset(arm), relative=["all"])
    save_model(tiny_model(), folder / "late", "# card", {"robots": [late.to_config()], "slots": facts["slots"]})
    slow = Robot.from_dataset(Dataset(arm), fps=10, chunk=4)
    save_model(tiny_model(), folder / "slow", "# card", {"robots": [slow.to_config()], "slots": facts["slots"]})
    return folder


@pytest.fixture(autouse=True)
def there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_evaluate_ranks_in_imagination_beside_the_recorded_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    policies = ["--policies", "no_imagination", "other", "random", "no_imagination+0.5"]
    assert main(["evaluate", *HOW, *policies, "--episodes", "9", "--json", "ranked.json"]) == 0
    said = capsys.readouterr().out
    assert "arm: 6 of 6 held-out episodes: 2, 3, 4, 5, 6, 7" in said and "their true outcome needs one" in said
    assert "on 3 recorded successes and 3 failures, each told by the others" in said
    assert "of 6 with known outcome" in said and "nothing in this dream is left to chance" in said
    record = json.loads(Path("ranked.json").read_text())
    figures, rows = record["figures"], record["episodes"]
    assert figures["recorded"] == 0.5 and figures["recorded_episodes"] == 6 and figures["dreams"] == 1
    assert [f"abstention_accuracy/{k}" in figures for k in (10, 50, 100)] == [True] * 3
    assert 0 <= figures["abstention_answered/50"] <= 1
    for pair in ("other - no_imagination", "random - other"):
        assert figures[f"verdict/{pair}"] in ("better", "worse", "cannot tell")
        assert figures[f"pairs/{pair}"] <= 6 and f"difference/{pair}_low" in figures
    assert not any("pearson" in name or "mmrv" in name or name.startswith("real/") for name in figures)
    assert {row["world"] for row in rows} == {"imagined"} and [row["episode"] for row in rows] == [*range(2, 8)] * 4
    for name in ("other", "random"):
        mine = [row for row in rows if row["policy"] == name]
        assert figures[f"answered/{name}"] == pytest.approx(sum(row["answered"] for row in mine) / 6)
        assert [row["success"] for row in mine] == [row["probability"] > 0.5 for row in mine]


class Rests:
    """A policy that does nothing, and keeps what it sees."""

    def __init__(self, seen: list[dict[str, np.ndarray]]) -> None:
        self.seen = seen

    def reset(self, instructions: list[str]) -> None:
        assert instructions == [TASK]

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.seen.append(observation)
        return np.zeros((1, 4, 4), np.float32)


def test_a_policy_server_is_ranked_in_imagination_too(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[dict[str, np.ndarray]] = []
    body, how = choose_robot(Path("other"), None), ["--episodes", "2", "--json", "served.json"]
    with serving(lambda: PolicyServer(lambda: Rests(seen), tiny_model(), {}, deadline=60, body=body)) as (_, address):
        url = f"ws://{address}"
        assert main(["evaluate", *HOW, *how, "--policies", url, f"{url}+0.5", "random"]) == 0
    said = capsys.readouterr().out
    sent = (
        "servers are sent pictures as they were recorded, front 48 x 64, top 48 x 64 (height x width), scaled from 32"
    )
    assert said.count(sent) == 1 and "what lies beside that square stays as in the first frame" in said
    record = json.loads(Path("served.json").read_text())
    assert [row["policy"] for row in record["episodes"]] == [url] * 2 + [f"{url}+0.5"] * 2 + ["random"] * 2
    assert record["figures"][f"verdict/random - {url}"] in ("better", "worse", "cannot tell")
    for name, size in (("image.front", (1, 32, 32, 3)), ("image.top", (1, 32, 32, 3)), ("state", (1, 4))):
        assert {each[name].shape for each in seen} == {size}
    np.testing.assert_allclose(seen[0]["image.top"].astype(int), 10, atol=3)  # the first frame of a recording


def test_act_dreams_from_recorded_first_frames(capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--episodes", "2", "--video", "films", "--json", "acted.json"]
    assert main(["act", *HOW, "--use", "no_imagination", *how]) == 0
    assert "no_imagination, 2 imagined episodes" in capsys.readouterr().out
    rows = json.loads(Path("acted.json").read_text())["episodes"]
    assert [row["task"] for row in rows] == [TASK] * 2
    assert {path.name for path in Path("films").iterdir()} == {f"episode-{row['episode']}.mp4" for row in rows}
    assert all(row["episode"] >= 2 for row in rows)


def test_synthesized_episodes_are_trained_on_with_the_recordings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--out", "dreams", "--episodes", "1", "--instruction", "put it down"]
    assert main(["synthesize", *HOW, *how]) == 0
    said = capsys.readouterr().out
    assert "Next: presage train --data arm dreams --out runs/dreams" in said
    assert "arm: 1 of 8 episodes" in said  # also those that it was trained on
    source, made = Dataset(folder / "arm"), Dataset(folder / "dreams")
    assert made.robot_type == "arm" and made.fps == 20 and made.features == source.features
    assert [e.instruction for e in made.episodes] == ["put it down"] and made.num_rows == 12  # 3 steps of 4 actions
    robots = [Robot.from_dataset(each) for each in (source, made)]
    assert robots[0] == robots[1]
    steps = [Steps(each, robots[0]) for each in (source, made)]
    parts = [read_recorded(each, ["front", "top"], 32, 4) for each in steps]
    together = joined(parts)
    assert together.labelled.sum() == sum(part.labelled.sum() for part in parts) and parts[1].labelled.sum() == 9
    assert together.action.shape[1:] == (4, 4) and np.isfinite(together.action[together.labelled]).all()


def test_a_checkpoint_that_has_a_threshold_needs_no_recorded_outcome(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = json.loads((folder / "other/config.json").read_text()) | {"trained_on": ""}  # none could be told apart
    save_model(tiny_model(), folder / "told", "# card", silent)
    tasks = Threshold(0.5, 0.9, 4, 4, (TASK,), weights=weights_hash(folder / "told"))
    save_threshold(folder / "told/success.json", tasks)
    how = ["--data", "good", "--checkpoint", "told", "--max-steps", "1"]
    assert main(["act", *how, "--use", "no_imagination"]) == 0
    said = capsys.readouterr().out
    assert "value above 0.50 (balanced accuracy 0.90, calibrated on 1 task)" in said
    assert "good: 2 of 2 episodes (trained on? the checkpoint is silent)" in said


def test_labels_stand_in_for_outcomes_that_nobody_recorded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    silent = write_robot(tmp_path / "silent", ("front", "top"), joints=4, length=21, fps=20, episodes=8)
    forget_outcomes(silent)
    how = ["act", "--data", str(silent), "--checkpoint", "run", "--max-steps", "1", "--use", "no_imagination"]
    assert main(how) == 2
    assert (
        "no outcome is known of its 6 held-out episodes" in (said := capsys.readouterr().err) and "label some" in said
    )
    known = known_by(Dataset(silent))
    labels = Labels("silent", {number: replace(known[number], success=number > 4) for number in range(2, 8)})
    for path, options in ((tmp_path / "mine.json", ["--labels", str(tmp_path / "mine.json")]), (beside(silent), [])):
        write_labels(path, labels)
        assert main([*how, *options]) == 0
        said = capsys.readouterr().out
        assert f"{path}: the outcome of 6 episodes of silent is labelled" in said
        assert "of 3 recorded successes and 3 failures" in said


def test_what_needs_a_simulator_or_an_outcome_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["act", *HOW, "--tasks", "push-v3"], "--tasks names tasks of a simulator and does not apply to --data"),
        (["evaluate", *HOW, "--films", "1", "--json", "x.json"], "--films shows what happens in a simulator"),
        (["act", "--data", "seen", "--checkpoint", "run"], "the model was trained on all of its 2 episodes"),
        (["act", "--data", "good", "--checkpoint", "run"], "2 successes and 0 failures are known of its held-out"),
        (["evaluate", *HOW, "--policies", "late", "random"], "late: actions differ from those of the world model"),
        (["evaluate", "--data", "arm", "--checkpoint", "late", "--policy", "ws://127.0.0.1:1"], "or relative actions"),
        (
            ["act", "--data", "arm", "--checkpoint", "slow", "--policy", "ws://127.0.0.1:1"],
            "ws://127.0.0.1:1: a server's actions are 20 a second, as arm was recorded, those of the world model 10; "
            "train it at the dataset's rate (--fps 20)",
        ),
        (["plan", "--data", "arm"], "--data"),
        (["act", "--data", "arm", "--checkpoint", "run", "--labels", "arm/meta/info.json"], "holds no labels"),
        (["act", "--labels", "arm/meta/info.json"], "--labels are of recordings and do not apply without --data"),
    ):
        assert message in refused(capfd, *arguments), arguments
    assert not Path("x.json").exists()
