"""A result names its weights, not the machine's folders."""

import pytest
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.results.provenance import describe_checkpoint, describe_commit, describe_machine, describe_versions
from presage.training.checkpoint import save_model


def test_facts(tmp_path) -> None:
    folder = save_model(tiny_model(), tmp_path / "run" / "model", "card")
    described = describe_checkpoint(folder)
    assert described["name"] == "run" and len(described["sha256"]) == 16
    assert describe_checkpoint(folder) == described
    with pytest.raises(UserError, match="not a checkpoint"):
        describe_checkpoint(tmp_path)
    assert describe_machine()["cores"] >= 1 and "torch" in describe_versions() and describe_commit()
