"""`presage train --system` on LeRobot datasets as somebody else recorded them."""

import json
import sys
from pathlib import Path

import pytest
from tests.episodes.robots import write_robot

from presage.interface.cli import main
from presage.systems.checkpoint import open_system


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_robot(Path("arm"), length=21, fps=10, size=(32, 32))
    write_robot(Path("film"), length=21, fps=10, size=(32, 32), action=False, state=False)
    return tmp_path


def test_a_run_ends_in_a_checkpoint_with_a_card_that_repeats_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", "--system", "UWM", "--size", "debug", "--data", "arm", "film", "--out", "run"]
    monkeypatch.setattr(sys, "argv", ["presage", *arguments])
    assert main([*arguments, "--json", "figures.json"]) == 0
    said = capsys.readouterr().out
    assert "film: no action is learned: the video alone" in said and "checkpoint run/model" in said
    card = Path("run/model/card.md").read_text()
    assert " ".join(arguments) in card and "| joint | 4 |" in card and "2 episodes, 42 rows" in card
    assert json.loads(Path("figures.json").read_text())["figures"]["codec/step"] == 2
    config = json.loads(Path("run/model/config.json").read_text())
    assert config["robots"][0]["name"] == "arm" and config["shape"]["action_dim"] == 7
    system, model = open_system(Path("run/model"))
    assert system.card.name == "UWM" and model.chunk_shape == (2, 7)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--data", "film"], "no row has an action"),
        (["--data", "arm", "--system", "unisim"], "UniSim (4) has no recipe yet"),
        (["--data", "arm", "--only", "sleep"], "--only sleep: stages are codec, joint"),
        (["--data", "arm", "--cameras", "wrist"], "no camera 'wrist'"),
        (["--data", "arm", "--recipe", "debug"], "--recipe does not apply to --system"),
        (["--data", "arm", "--steps", "3"], "--steps goes with --system where one stage goes on"),
        (["--data", "arm", "--start-from", "."], "does not apply to --start-from, which keeps its own"),
        (["--data", "arm", "--start-from", "arm", "--fps", "2", "--size", "debug"], "--size debug does not apply"),
        (["--data", "arm", "--size", "64"], "a system's is one of debug, brief, small, tuned, base"),
        (["--data", "arm", "--only", "codec", "joint"], "name one stage"),
        (["--data", "arm", "--pretrained", "nobody"], "no checkpoint nobody: give a folder, or one that comes with"),
        (["--data", "arm", "--pretrained", "reference", "--size", "debug"], "holds the system Reference"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    options: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {option: [option, value] for option, value in (("--system", "uwm"), ("--size", "debug"))}
    rest = [word for option, pair in given.items() if option not in options for word in pair]
    assert main(["train", "--out", "run", *options, *rest]) == 2
    assert says in capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert not Path("run").exists()


def test_all_stages_begin_with_what_fits_of_another_robot(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["train", "--system", "uwm", "--size", "debug"]
    assert main([*run, "--data", "arm", "--out", "run"]) == 0
    write_robot(Path("other"), length=25, fps=10, size=(32, 32), joints=5)
    more = ["train", "--system", "uwm", "--data", "other", "--pretrained", "run/model", "--out", "more"]
    assert main(more) == 0
    assert "begins with the weights of run/model where they fit" in capsys.readouterr().out
    before, after = (json.loads(Path(f"{name}/model/config.json").read_text()) for name in ("run", "more"))
    assert after["size"] == "debug" and (before["shape"]["action_dim"], after["shape"]["action_dim"]) == (7, 5)
    assert set(before["trained_on"].split()) < set(after["trained_on"].split()), "what it saw earlier is not held out"
    assert main([*more, "--start-from", "run/model"]) == 2
    assert main(["train", "--data", "other", "--pretrained", "run/model", "--out", "none"]) == 2
    assert "holds the system UWM: name that one with --system" in capsys.readouterr().err
    assert main(["train", "--recipe", "debug", "--data", "other", "--pretrained", "run/model", "--out", "none"]) == 2
    assert "--pretrained goes with --system" in capsys.readouterr().err


def test_presages_own_model_is_trained_where_nothing_is_named(folder: Path) -> None:
    assert main(["train", "--size", "debug", "--data", "arm", "--out", "mine"]) == 0
    assert json.loads(Path("mine/model/config.json").read_text())["system"] == "reference"


def test_a_checkpoint_is_gone_on_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["train", "--system", "uwm", "--data", "arm"]
    assert main([*run, "--out", "run", "--size", "debug"]) == 0
    more = [*run, "--start-from", "run/model", "--only", "joint"]
    assert main([*more, "--steps", "3", "--out", "more"]) == 0
    assert (
        "checkpoint more/model" in capsys.readouterr().out and "| joint | 3 |" in Path("more/model/card.md").read_text()
    )
    before, after = (json.loads(Path(f"{name}/model/config.json").read_text()) for name in ("run", "more"))
    assert after["size"] == "debug" and after["trained_on"] == before["trained_on"], "of the same data"
    write_robot(Path("other"), length=25, fps=10, size=(32, 32))
    data = ["--data", "other", "--start-from", "run/model", "--only", "joint", "--steps", "2", "--out", "two"]
    assert main(["train", *data]) == 0, "it is of UWM, which need not be said"
    seen = json.loads(Path("two/model/config.json").read_text())["trained_on"].split()
    assert set(before["trained_on"].split()) < set(seen), "what it learned from earlier is not held out"
    assert main([*more, "--fps", "2", "--out", "slow"]) == 2
    assert "--fps does not apply to --start-from" in capsys.readouterr().err
    assert main(["train", "--system", "uwm", "--data", "film", "--start-from", "run/model", "--out", "blind"]) == 2
    assert not Path("slow").exists() and not Path("blind").exists()
