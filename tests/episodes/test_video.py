"""Clips survive joining bit for bit, and a span is decoded without what lies before it."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.episodes.samples import FPS, make_episode

from presage.episodes.video import ClipJoiner, decode_spans, encode_clip, encoding
from presage.errors import UserError


def _join(folder: Path, lengths: list[int], fps: float) -> tuple[Path, list[tuple[float, int]], list[np.ndarray]]:
    """Encode clips and join them: (joined file, spans, the frames of each clip decoded from its own file)."""
    joiner = ClipJoiner(folder / "joined.mp4", fps)
    spans, decoded = [], []
    for number, length in enumerate(lengths):
        clip = folder / f"{number}.mp4"
        encode_clip(clip, make_episode(number, length).frames["front"], fps)
        decoded.append(next(decode_spans(clip, [(0.0, length)], fps)))
        start, end = joiner.append(clip)
        assert end - start == pytest.approx(length / fps)
        spans.append((start, length))
    joiner.close()
    return folder / "joined.mp4", spans, decoded


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6), fps=st.sampled_from([5, 10, 30, 30000 / 1001]))
def test_joined_frames_equal_the_clips(lengths, fps, tmp_path_factory):
    path, spans, decoded = _join(tmp_path_factory.mktemp("join"), lengths, fps)
    for expected, found in zip(decoded, decode_spans(path, spans, fps)):
        np.testing.assert_array_equal(found, expected)
    for span, expected in reversed(list(zip(spans, decoded))):
        np.testing.assert_array_equal(next(decode_spans(path, [span], fps)), expected)


def test_colours_survive_encoding(tmp_path):
    frames = make_episode(0, 8, size=64).frames["front"]
    encode_clip(tmp_path / "clip.mp4", frames, FPS)
    decoded = next(decode_spans(tmp_path / "clip.mp4", [(0.0, 8)], FPS))
    error = np.mean((decoded.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) > 42


def test_only_the_span_is_decoded(tmp_path):
    """Damage in an earlier clip of the file does not reach a later one."""
    path, spans, decoded = _join(tmp_path, [6, 6], FPS)
    data = bytearray(path.read_bytes())
    body = data.index(b"mdat") + 4
    header = 700  # x264 writes its settings in front of the first picture
    data[body + header : body + header + 100] = bytes(100)
    path.write_bytes(data)
    np.testing.assert_array_equal(next(decode_spans(path, [spans[1]], FPS)), decoded[1])
    with pytest.raises(UserError, match=r"joined\.mp4: .*(damaged|can be read)"):
        next(decode_spans(path, [spans[0]], FPS))


def test_span_behind_the_end_is_reported(tmp_path):
    path, _, _ = _join(tmp_path, [3], FPS)
    with pytest.raises(UserError, match="only 3 of 5 frames"):
        next(decode_spans(path, [(0.0, 5)], FPS))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="scheduling policies are Linux's")
def test_an_encoder_leaves_the_priority_as_it_was(tmp_path):
    """SVT-AV1 raises it where it may: as root."""
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    encode_clip(tmp_path / "clip.mp4", [np.zeros((64, 64, 3), np.uint8)] * 4, 5, encoding("av1", 30))
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before
