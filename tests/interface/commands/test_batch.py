"""Many checks at once: in processes of their own, gone on with after a kill, and none takes the others with it."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.systems.example import make_result

from presage.interface.cli import main
from presage.interface.commands import batch
from presage.interface.commands.batch import LOG, Batch, Done, check_all, described_versions, finished
from presage.systems.lab import inventory
from presage.systems.lab.check import save
from presage.systems.table import Row, find

UWM, PAD, VPP = (find(name) for name in ("uwm", "pad", "vpp"))
SEEDS = (0, 1, 2)


@pytest.fixture(autouse=True)
def one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "describe_commit", lambda: "0123456789ab")
    monkeypatch.setattr(batch, "SECONDS_BETWEEN_LOOKS", 0.01)


def result_of(row: Row):  # noqa: ANN201
    return replace(make_result(name=row.name), versions=described_versions(), seeds=SEEDS)


def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **scripts: str) -> Batch:
    """Checks replaced by Python scripts; `save` in them leaves a result."""
    for row in (UWM, PAD, VPP):
        save(tmp_path / "made" / f"{row.name}.json", result_of(row))

    def command(self: Batch, row: Row) -> list[str]:
        made, there = tmp_path / "made" / f"{row.name}.json", self.folder(row) / "check.json"
        code = f"import os, shutil, sys, time\nsave = lambda: shutil.copy({str(made)!r}, {str(there)!r})\n"
        return [sys.executable, "-c", code + scripts.get(row.name, "save()")]

    monkeypatch.setattr(Batch, "command", command)
    return Batch(tmp_path / "runs", SEEDS, quick=False, at_once=2)


def test_a_check_that_fails_says_why_and_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    fails = "print('presage: error: the lab has no dataset'); sys.exit(2)"
    done = check_all([UWM, PAD, VPP], scripted(monkeypatch, tmp_path, pad=fails), said.append)
    assert [each.row for each in done] == [UWM, PAD, VPP]
    assert [each.words for each in done] == ["shown", "failed: the lab has no dataset", "shown"]
    assert said[0] == f"[1/3] UWM begins: {tmp_path / 'runs' / 'uwm' / LOG}"
    assert sum(" begins: " in line for line in said) == 3
    assert any(line.startswith("PAD: failed: the lab has no dataset (") for line in said)
    assert "left)" not in said[-1]
    (silent,) = check_all([UWM], scripted(monkeypatch, tmp_path / "other", uwm="pass"), said.append)
    assert silent.words.startswith("failed: ") and "cannot be read" in silent.words


def test_several_run_at_once_with_one_thread_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each waits for the other to begin, which is in vain where they take turns."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    meet = f"""
open({str(tmp_path)!r} + "/" + str(os.getpid()) + ".here", "w").close()
for i in range(1000):
    if len([name for name in os.listdir({str(tmp_path)!r}) if name.endswith(".here")]) == 2: break
    time.sleep(0.01)
else: sys.exit("alone")
assert os.environ["OMP_NUM_THREADS"] == "1"
save()"""
    done = check_all([UWM, PAD], scripted(monkeypatch, tmp_path, uwm=meet, pad=meet), print)
    assert [each.words for each in done] == ["shown", "shown"]


def test_what_is_finished_is_not_begun_again_unless_anything_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks = scripted(monkeypatch, tmp_path)
    assert finished(UWM, checks) is None
    check_all([UWM], checks, print)
    assert finished(UWM, checks) == result_of(UWM)
    said: list[str] = []
    again = scripted(monkeypatch, tmp_path, uwm="sys.exit('begun again')")
    assert check_all([UWM, PAD], again, said.append)[0] == Done(UWM, result_of(UWM))
    assert said[0] == "UWM: shown; it was finished before" and said[1].startswith("[2/2] PAD begins")
    assert finished(UWM, replace(checks, seeds=(0,))) is None and finished(UWM, replace(checks, quick=True)) is None
    monkeypatch.setattr(batch, "describe_commit", lambda: "ba9876543210")
    assert finished(UWM, checks) is None
    monkeypatch.setattr(batch, "describe_commit", lambda: "0123456789ab+changes")  # whatever these are
    save(checks.folder(UWM) / "check.json", result_of(UWM))
    assert finished(UWM, checks) is None
    monkeypatch.setattr(batch, "describe_commit", lambda: "0123456789ab")
    for content in ("{", json.dumps({"card": 1})):
        (checks.folder(UWM) / "check.json").write_text(content)
        assert finished(UWM, checks) is None
    save(checks.folder(UWM) / "check.json", replace(result_of(UWM), verdict=None))
    assert finished(UWM, checks) is None


def test_whoever_stops_it_stops_its_checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waits = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    checks = scripted(monkeypatch, tmp_path, uwm=waits)

    def stopped(line: str) -> None:
        if "PAD" not in line:
            return
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_all([UWM, PAD], checks, stopped)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_all_are_checked_by_one_command_on_a_lab_that_is_made_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[str] = []
    monkeypatch.setattr(inventory, "make_all", lambda steps, say: made.append("lab") or steps)
    monkeypatch.setattr(inventory, "steps_to", lambda *asked: made.append(str(asked)) or [])
    asked: list[tuple[list[str], Batch]] = []

    def check(rows: list[Row], checks: Batch, say: object) -> list[Done]:
        asked.append(([row.name for row in rows], checks))
        return [Done(row, None if row == PAD else result_of(row), 5.0, "out of memory") for row in rows]

    monkeypatch.setattr(batch, "check_all", check)
    assert main(["systems", "check", "--all", "--seeds", "2", "--seed", "4", "--workers", "1", "--json", "a.json"]) == 2
    names, checks = asked[0]
    assert (
        made == ["((), False, 0, 1)", "lab"]
        and len(names) == 12
        and checks == Batch(Path("runs/systems"), (4, 5), False, 1)
    )
    said = capsys.readouterr()
    assert "failed: out of memory" in said.out and "1 of 12 checks failed: pad; see log.txt of each" in said.err
    assert json.loads(Path("a.json").read_text())["figures"]["pad"] is None
    assert main(["systems", "check", "--all", "--quick"]) == 2 and len(made) == 2  # debug twins make their own data
    for wrong in (["--all", "uwm"], [], ["--all", "--arms", "without"]):
        assert main(["systems", "check", *wrong]) == 2


def test_a_check_is_the_command_that_one_would_type() -> None:
    said = Batch(Path("runs"), (4, 5), quick=True, at_once=2).command(UWM)
    assert said[1:] == [
        *("-m", "presage.interface.cli", "systems", "check", "uwm", "--seed", "4", "--seeds", "2"),
        *("--out", "runs/uwm-quick", "--quick"),
    ]
