"""Commands of a page of the documentation are ones that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from presage.errors import UserError
from presage.interface.cli import parse

PAGE = Path(__file__).parents[2] / "docs" / "so101.md"
MADE = {
    "dataset": ("data/so101-parts/train", "data/so101-parts/test"),
    "train": ("runs/so101-debug/model", "runs/so101/model"),
}
"""What a command leaves for those after it"""


def commands(page: str) -> list[list[str]]:
    """The words after `presage` of every command in a page."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)).replace("\\\n", " ")
    values = dict(re.findall(r"^(\w+)=(\S+)$", blocks, re.M))
    for name, value in values.items():
        blocks = blocks.replace(f"${name}", value)
    lines = [line.removesuffix(" &") for line in blocks.splitlines() if line.startswith("presage ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_each_is_taken(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/so101").mkdir(parents=True)
    found = commands(PAGE.read_text())
    assert {words[0] for words in found} == {"inspect", "dataset", "train", "dream", "evaluate", "synthesize", "serve"}
    for words in found:
        parse(words)
        for folder in MADE.get(words[0], ()):
            Path(folder).mkdir(parents=True, exist_ok=True)


def test_one_with_a_wrong_option_is_not() -> None:
    (words,) = commands(
        "```sh\nserver=ws://127.0.0.1:8100\npresage evaluate --policies $server/a \\\n  --episode 3 &\n```\n"
    )
    assert words == ["evaluate", "--policies", "ws://127.0.0.1:8100/a", "--episode", "3"]
    with pytest.raises(UserError, match="--episode"):
        parse(words)
