"""The page holds everything itself and says what its pictures show."""

import base64
import io
import re
from html.parser import HTMLParser

import av
import numpy as np
import pytest
from tests.tiny import tiny_chunk, tiny_model

from presage.interface.commands.stage import share_of_pairings
from presage.interface.pages.page import Measured, Report, Use, render
from presage.interface.pages.plots import Point
from presage.results.clips import Clip, contact_sheet, encode_mp4, imagine_again, side_by_side
from presage.worlds import RolloutResult


def make_clip(length: int = 6) -> Clip:
    frames = np.random.default_rng(0).integers(0, 256, (length, 16, 16, 3), dtype=np.uint8)
    return Clip(
        "open the <drawer>", "Reached.", {"front": frames, "top": frames}, {"front": frames, "top": frames}, 5.0
    )


@pytest.fixture(scope="module")
def page() -> str:
    rate = Measured("success: 17 of 20", "85 % [64, 95]", 0.85, 0.64, 0.95)
    use = Use("2.1", "joint", "imagines video and action", rate, Measured("no figure", "-"), 12.0)
    points = [Point("joint", 0.8, 0.9), Point("random & co", 0.1, 0.0)]
    facts = [("machine", "a computer")]
    return render(
        Report("presage", "lead", [use], [make_clip()], points, "r = 1", [("20", "per s")], "presage demo", facts)
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle"):
            assert self.open.pop() == tag


def test_nothing_is_fetched(page: str) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|<script|<link|url\(", re.sub(r"base64,[^\"]*", "", page))
    for tag, attributes in _tags(page):
        source = attributes.get("src") or attributes.get("href")
        assert source is None or source.startswith("data:"), tag


def test_pictures_have_words(page: str) -> None:
    for tag, attributes in _tags(page):
        if tag in ("video", "svg"):
            assert attributes.get("aria-label")
        assert tag != "img"
    assert "viewport" in page and "prefers-color-scheme:dark" in page and 'lang="en"' in page
    assert "open the &lt;drawer&gt;" in page and "<drawer>" not in page


def test_videos_play_anywhere(page: str) -> None:
    data = base64.b64decode(re.search(r"data:video/mp4;base64,([^\"]+)", page).group(1))
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
    assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert len(frames) == 6 + 5  # the last one rests for a second
    assert (frames[0].width, frames[0].height) == side_by_side(make_clip()).shape[2:0:-1]


def test_encoding_keeps_the_pictures() -> None:
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, None, :, None], (3, 64, 1, 3))
    with av.open(io.BytesIO(encode_mp4(smooth, 5.0))) as container:
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert np.abs(decoded.astype(int) - smooth).mean() < 4


def test_a_contact_sheet(tmp_path) -> None:
    contact_sheet([make_clip(), make_clip()], "front", tmp_path / "new" / "sheet.png", columns=3)
    assert (tmp_path / "new" / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_imagining_again_starts_from_the_first_frame() -> None:
    model = tiny_model()
    rng = np.random.default_rng(0)
    frames = {c: rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8) for c in ("front", "top")}
    states = rng.normal(size=(4, 4)).astype(np.float32)
    episode = RolloutResult("push-v3", 0, True, 3, "push", frames, states, tiny_chunk(3))
    ((imagined, matched, repeated),) = imagine_again(model, [episode])
    assert all(imagined[c].shape == frames[c].shape for c in frames)
    assert all((imagined[c][0] == frames[c][0]).all() for c in frames)
    assert 0 < matched < 100 and 0 < repeated < 100


def test_random_pairings_rarely_match_a_perfect_ranking() -> None:
    rates = np.linspace(0, 1, 8)
    assert share_of_pairings(rates, rates, 0) < 0.001
    assert share_of_pairings(rates[::-1], rates, 0) > 0.999


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen
