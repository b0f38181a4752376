"""What a stream is, its fields say; a name is for who asks."""

import pytest

from presage.timeline.corruption import Flow, Regress
from presage.timeline.streams import Stream, matching


def test_only_an_answer_that_nobody_looks_at_is_asked_at_every_step() -> None:
    assert Stream("s", 1, 1, Regress(), seen=False).asked
    assert not Stream("s", 1, 1, Regress()).asked  # predicted in one pass, and then a part of what is seen
    assert not Stream("s", 1, 1, Flow(), seen=False).asked


def test_what_is_derived_or_asked_is_not_imagined() -> None:
    assert Stream("s", 1, 1).imagined and Stream("s", 1, 1, Regress()).imagined
    assert not Stream("s", 1, 1, Regress(), seen=False).imagined
    assert not Stream("s", 1, 1, derive=lambda values: None).imagined


def test_every_token_has_a_time_of_its_own_or_none_has() -> None:
    assert Stream("s", 2, 1, offsets=(0.0, 0.5)).offsets == (0.0, 0.5)
    with pytest.raises(ValueError, match="'s': 1 offsets for 2 tokens"):
        Stream("s", 2, 1, offsets=(0.5,))


def test_patterns_find_streams_or_say_which_there_are() -> None:
    streams = [Stream("eye.left", 1, 1), Stream("eye.right", 1, 1), Stream("arm", 1, 1)]
    assert matching(streams, "eye.*") == streams[:2] and matching(streams, "arm") == streams[2:]
    with pytest.raises(ValueError, match=r"no stream is called 'ear\.\*': there are eye.left, eye.right, arm"):
        matching(streams, "ear.*")
