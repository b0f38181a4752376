"""Any system on anybody's data: all stages in order, killed and gone on with, and a checkpoint that opens again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.recorded import moving_square
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.systems import fit
from presage.systems.checkpoint import open_system, system_of
from presage.systems.fit import Fitted, fit_system, kinds_of, settings_of, with_what_there_is
from presage.systems.system import Shape, System
from presage.systems.table import ROWS, has_recipe
from presage.training import loop
from presage.training.checkpoint import load_model, save_model
from presage.training.recorded import Recorded, shape_of

EVERY_RECIPE = [row.name for row in ROWS if has_recipe(row)]


def data() -> list[tuple[str, Recorded]]:
    film = moving_square(rows=12, seed=1).without_labels(range(6))
    return [("arm", moving_square(rows=12)), ("film", replace(film, state=np.full_like(film.state, np.nan)))]


def fitted(name: str, out: Path, parts: list[tuple[str, Recorded]] | None = None, **changes: Any) -> Fitted:
    settings = {"seed": 3, "size": "debug"} | changes
    made = settings_of(name, settings["size"], settings["seed"], 2)
    return fit_system(name, parts=parts or data(), out=out, made_from=made, card=lambda logs: "# card", **settings)


@pytest.mark.parametrize("name", EVERY_RECIPE)
def test_killed_after_every_step_equals_uninterrupted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(name, tmp_path / "whole").checkpoint
    save, killed = loop.save_state, []

    def saves_often(name: str, shape: Shape, size: str) -> System:
        system = system_of(name, shape, size)
        often = [replace(s, optimiser=replace(s.optimiser, save_every=1)) for s in system.stages]
        return replace(system, stages=tuple(often))

    def dies(*arguments: Any) -> None:
        save(*arguments)
        killed.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "system_of", saves_often)
    monkeypatch.setattr(loop, "save_state", dies)
    again = None
    while again is None and len(killed) < 30:
        try:
            again = fitted(name, tmp_path / "killed").checkpoint
        except KeyboardInterrupt:
            continue
    assert whole is not None and again is not None and len(killed) >= 4
    (_, one), (system, other) = open_system(whole), open_system(again)
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in one.state_dict().items())
    seen = {"image.front": data()[0][1].frames["image.front"][:2], "state": np.zeros((2, 2), np.float32)}
    for use in system.uses.values():
        policy = use(other, 0)
        policy.reset(["move"] * 2)
        assert np.isfinite(policy.act(seen)).all()


def test_a_state_of_other_data_size_or_settings_is_refused(tmp_path: Path) -> None:
    fitted("uwm", tmp_path)
    other = [("arm", moving_square(rows=12, seed=5)), data()[1]]
    with pytest.raises(UserError, match="made from other data labelled"):
        fitted("uwm", tmp_path, other)
    with pytest.raises(UserError, match="with --size debug, now small"):
        fitted("uwm", tmp_path, size="small")
    with pytest.raises(UserError, match="with --seed 3, now 4"):
        fitted("uwm", tmp_path, seed=4)


def test_one_stage_at_a_time_ends_in_the_same_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage codec comes before it and is not finished"):
        fitted("vpp", tmp_path / "parts", only="head")
    for stage in ("codec", "video"):
        done = fitted("vpp", tmp_path / "parts", only=stage)
        assert done.checkpoint is None and stage in done.stages and not (tmp_path / "parts" / "model").exists()
    parts = fitted("vpp", tmp_path / "parts", only="head").checkpoint
    whole = fitted("vpp", tmp_path / "whole").checkpoint
    assert parts is not None and whole is not None
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_dataset_is_labelled_video_alone_or_not_to_be_imitated() -> None:
    poor = replace(moving_square(), quality=np.zeros(48, np.float32))
    lingbot, uwm = (system_of(name, shape_of(moving_square()), "debug").stages for name in ("lingbot_va", "uwm"))
    parts = [*data(), ("poor", poor)]
    sizes = [{kind: len(x.length) for kind, x in kinds_of(parts, stages).items()} for stages in (lingbot, uwm)]
    assert sizes == [{"labelled": 6, "free": 6, "noise": 6}, {"labelled": 12, "free": 6}]
    with pytest.raises(UserError, match="no chunk is worth imitating"):
        kinds_of([("poor", poor)], lingbot)
    strange = moving_square()
    strange.state[:, 1] = np.nan
    with pytest.raises(UserError, match="strange: datasets differ in their numbers"):
        kinds_of([("strange", strange)], uwm)


def test_a_stage_learns_from_the_kinds_that_there_are_and_says_so() -> None:
    recorded = moving_square()
    stages = system_of("uwm", shape_of(recorded), "debug").stages
    left, lines = with_what_there_is(stages, {"labelled": recorded})
    assert all(set(stage.data) == {"labelled"} for stage in left)
    assert lines[0] == "stage codec: no data of kind free, it learns from labelled"
    _, lines = with_what_there_is(left, {"labelled": recorded, "free": recorded})
    assert lines == ["data of kind free are not used: no stage asks for them"]


def test_what_cannot_be_learned_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="film: no row has an action"):
        fitted("uwm", tmp_path / "out", data()[1:])
    blind = replace(moving_square(), state=np.zeros((48, 0), np.float32))
    with pytest.raises(UserError, match="--system pad reads the robot's state"):
        fitted("pad", tmp_path / "out", [("blind", blind)])
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = fitted("unipi", tmp_path / "run").checkpoint
    assert folder is not None
    with pytest.raises(UserError, match="holds the system unipi: open it with"):
        load_model(folder)
    with pytest.raises(UserError, match="a world model and no system"):
        open_system(save_model(tiny_model(), tmp_path / "tiny", "# card"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "size": "small"}))
    with pytest.raises(UserError, match="is of another presage"):
        open_system(folder)
    (folder / "config.json").write_text(json.dumps({**config, "shape": {"size": 16}}))
    with pytest.raises(UserError, match="field 'cameras' does not fit"):
        open_system(folder)


def test_a_stage_goes_on_from_a_checkpoint_with_its_codecs(tmp_path: Path) -> None:
    start = fitted("uwm", tmp_path / "run").checkpoint
    assert start is not None
    wider = [("wider", replace(data()[0][1], action=3 * data()[0][1].action)), data()[1]]
    more = fitted("uwm", tmp_path / "more", wider, only="joint", start=start, steps=3)
    assert more.checkpoint is not None and list(more.stages) == ["joint"] and more.stages["joint"]["step"] == 3
    (_, before), (_, after) = open_system(start), open_system(more.checkpoint)
    assert after.shape == before.shape, "its own range of actions is kept"
    changed = {name for name, x in before.state_dict().items() if not torch.equal(x, after.state_dict()[name])}
    assert changed and all(name.startswith("network.") for name in changed)
    nothing = fitted("uwm", tmp_path / "nothing", only="joint", start=start, steps=0).checkpoint
    assert nothing is not None
    assert (nothing / "model.safetensors").read_bytes() == (start / "model.safetensors").read_bytes()


def test_a_checkpoint_is_gone_on_with_by_its_own_system_and_robot(tmp_path: Path) -> None:
    start = fitted("uwm", tmp_path / "run").checkpoint
    assert start is not None
    with pytest.raises(UserError, match="holds the system UWM: name that one with --system"):
        fitted("pad", tmp_path / "other", start=start)
    with pytest.raises(UserError, match="--only sleep: stages are codec, joint"):
        fitted("uwm", tmp_path / "other", only="sleep", start=start)
    slower = [("slower", replace(data()[0][1], fps=1.0)), data()[1]]
    with pytest.raises(UserError, match="are others than those of the data"):
        fitted("uwm", tmp_path / "other", slower, start=start)
    degrees = [("degrees", replace(data()[0][1], state=1000 * data()[0][1].state)), data()[1]]
    with pytest.raises(UserError, match="degrees: 'observation.state': number 0 reaches .* are its units others"):
        fitted("uwm", tmp_path / "other", degrees, start=start)
    assert not (tmp_path / "other").exists()


def test_weights_of_another_robot_are_begun_with_where_they_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fitted("reference", tmp_path / "one").checkpoint
    assert before is not None
    square = moving_square(rows=12, seed=5)
    others = [("other", replace(square, action=np.concatenate([square.action, square.action[..., :1]], -1)))]
    shape = shape_of(others[0][1])
    (_, old), system = open_system(before), system_of("reference", shape, "debug")
    new, kept = system.build(shape), fit.carried(before, system, shape, "debug")
    new.load_state_dict({**new.state_dict(), **kept})
    assert "where they fit" in capsys.readouterr().out
    theirs, mine = old.state_dict(), new.state_dict()
    same = {name for name, x in mine.items() if name in theirs and torch.equal(x, theirs[name])}
    anew = {name for name, x in mine.items() if name in theirs and x.shape != theirs[name].shape}
    assert same | anew == set(mine) and {"network.told.0.weight", "network.vectors_in.0.weight"} <= anew
    assert "network.enter.weight" in same, "the eyes are kept"
    done = fitted("reference", tmp_path / "two", others, pretrained=before)
    assert done.checkpoint is not None and list(done.stages) == ["world", "near", "far", "judge"]
    assert open_system(done.checkpoint)[1].shape.action_dim == old.shape.action_dim + 1
    torch.manual_seed(7)
    again = fitted("reference", tmp_path / "again", others, pretrained=before).checkpoint
    assert again is not None
    one, two = (open_system(folder)[1].state_dict() for folder in (done.checkpoint, again))
    assert all(torch.equal(x, two[name]) for name, x in one.items()), "what begins anew follows from the seed alone"
    with pytest.raises(UserError, match=r"of the weights fit networks of --size small, and it has those of debug"):
        fitted("reference", tmp_path / "three", others, pretrained=before, size="small")
    with pytest.raises(UserError, match="holds the system Reference"):
        fitted("uwm", tmp_path / "four", others, pretrained=before)
