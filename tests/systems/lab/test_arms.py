"""Arms of a check: what they took."""

from pathlib import Path

from presage.systems.lab.arms import seconds_of


def test_seconds_of_a_stage_are_those_at_its_last_step(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 20, "seconds": 3.5}\n{"step": 40, "seconds": 7.0}\n')
    assert seconds_of(tmp_path) == 7.0
