"""Wan's transformer, as published and as a network of the timeline, on the classes that load the published weights."""

from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from tests.tiny import tiny_chunk, tiny_observation
from tests.tiny_wan import tiny_wan

from presage.benchmarks.cache import largest_difference
from presage.codecs.wan_vae import latents_from_tokens, tokens_from_latents
from presage.networks.base import step, value_of
from presage.networks.names import is_video
from presage.networks.random_wan import TINY_IMAGE, write_random_backbone
from presage.networks.wan import TEXT_LENGTH, padding_bias
from presage.networks.wan_model import WanWorldModel
from presage.policy.representation import video_features
from presage.timeline.backbone import Window
from presage.timeline.joined import JoinedSession
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.timeline.streams import Values


@pytest.fixture(scope="module")
def model(wan_folder: Path) -> WanWorldModel:
    return tiny_wan(wan_folder)


def published_text(model: WanWorldModel, texts: list[str]) -> torch.Tensor:
    """As many tokens as the published model is given: zeros behind the sentence."""
    text = model.embed_text(texts)
    return torch.cat([text, text.new_zeros(len(texts), TEXT_LENGTH - text.shape[1], text.shape[2])], 1)


# -- as published -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_text_to_video_equals_diffusers(model: WanWorldModel, wan_folder: Path) -> None:
    published = WanTransformer3DModel.from_pretrained(wan_folder / "transformer")
    latents, level = torch.randn(2, 16, 3, 4, 6), torch.tensor([0.3, 0.9])
    texts = ["open the drawer", "close the window slowly"]
    expected = published(latents, level * 1000, published_text(model, texts), return_dict=False)[0]
    found = model.network.clip_velocity(latents, level, model.embed_text(texts))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_image_to_video_equals_diffusers(tmp_path: Path) -> None:
    folder = write_random_backbone(tmp_path, TINY_IMAGE)
    model, published = tiny_wan(folder), WanTransformer3DModel.from_pretrained(folder / "transformer")
    latents, level, image = torch.randn(1, 36, 3, 4, 4), torch.tensor([0.5]), torch.randn(1, 257, 20)
    expected = published(latents, level * 1000, published_text(model, ["push"]), image, return_dict=False)[0]
    found = model.network.clip_velocity(latents, level, model.embed_text(["push"]), image)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_one_zero_stands_for_all_behind_the_sentence() -> None:
    q, key, value = torch.randn(1, 1, 4, 8), torch.randn(1, 1, 3, 8), torch.randn(1, 1, 3, 8)
    many = [x[:, :, [0, 1] + [2] * (TEXT_LENGTH - 2)] for x in (key, value)]
    expected = torch.nn.functional.scaled_dot_product_attention(q, *many)
    bias = padding_bias(3, q.device)
    found = torch.nn.functional.scaled_dot_product_attention(q, key, value, attn_mask=bias[None, None, None])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_an_adapted_transformer_still_runs_in_diffusers(wan_folder: Path) -> None:
    """So a fine-tuned backbone goes back into diffusers' own pipelines."""
    model = tiny_wan(wan_folder)
    for name, p in model.network.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(p, std=0.1)
    latents, level, texts = torch.randn(1, 16, 2, 4, 4), torch.tensor([0.4]), ["open the drawer"]
    theirs = model.network.transformer(latents, level * 1000, published_text(model, texts), return_dict=False)[0]
    torch.testing.assert_close(
        model.network.clip_velocity(latents, level, model.embed_text(texts)), theirs, atol=1e-5, rtol=0
    )


# -- on the timeline --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_before_fine_tuning_the_video_path_is_the_published_one(wan_folder: Path) -> None:
    """One frame alone has no past: the timeline's pass over it is the published clip of one frame, actions or not."""
    model = tiny_wan(wan_folder, awake=False)
    published = WanTransformer3DModel.from_pretrained(wan_folder / "transformer")
    noisy, level = torch.randn(1, 4, 64), torch.tensor([[0.7]])
    text = model.condition(["open the drawer"])
    values = {"video.front": noisy, "action": torch.randn(1, 1, 16), "state": torch.randn(1, 1, 4), "value": None}
    parts = [model.network.embed(n, None if x is None else x[:, None], level, text)[:, 0] for n, x in values.items()]
    steps, everything = torch.zeros(7, dtype=torch.long), torch.ones(7, 7, dtype=torch.bool)
    hidden, _ = model.network(torch.cat(parts, 1), steps, everything, condition=text)
    clean = model.network.read("video.front", hidden[:, :4])
    clip = latents_from_tokens(noisy, 2)[:, :, None]
    velocity = published(clip, level[0] * 1000, published_text(model, ["open the drawer"]), return_dict=False)[0]
    torch.testing.assert_close(clean, noisy - 0.7 * tokens_from_latents(velocity[:, :, 0]), atol=1e-5, rtol=0)
    assert (model.network.read("action", hidden[:, 4:5]) == model.network.outputs["action"].bias).all()


@pytest.mark.parametrize("window", [1, 3])
def test_cached_equals_uncached_over_many_blocks_with_eviction(wan_folder: Path, window: int) -> None:
    assert largest_difference(tiny_wan(wan_folder, window), 24, seed=0) < 1e-4


def test_the_future_changes_no_past_output(model: WanWorldModel) -> None:
    short, long = (Session(model, ["open the drawer"]) for _ in range(2))
    for t in range(4):
        for session in (short, long)[t == 3 :]:
            session.observe(tiny_observation(1, seed=t), tiny_chunk(1, seed=t) if t else None)
    for a, b in zip(short.blocks, long.blocks, strict=False):
        assert torch.equal(a.entry.kept["keys"], b.entry.kept["keys"]) and torch.equal(
            a.answers["value"], b.answers["value"]
        )


def test_what_is_seen_and_done_reaches_the_dream(model: WanWorldModel) -> None:
    def dream(frame: int, chunk: int, text: str) -> torch.Tensor:
        session = Session(model, [text])
        session.observe(tiny_observation(1, seed=frame))
        return step(session, tiny_chunk(1, seed=chunk)).values["video.front"]

    usual = dream(0, 0, "open the drawer")
    assert torch.equal(usual, dream(0, 0, "open the drawer"))
    for other in (dream(1, 0, "open the drawer"), dream(0, 1, "open the drawer"), dream(0, 0, "close the window")):
        assert not torch.allclose(usual, other)


@torch.no_grad()
def test_the_place_of_a_step_matters_only_relative_to_its_past(model: WanWorldModel) -> None:
    """Absolute steps in the rotary embedding: a session that begins later computes the same."""
    seen = {name: x[:, None] for name, x in model.encode_images(tiny_observation(1)).items()}
    noisy = {s.name: torch.ones(1, 1, s.tokens, s.dim) for s in model.streams if s.imagined}

    def beginning(first: int) -> Values:
        at = torch.full((1, 1), first)
        past = Window(seen, {name: torch.zeros(1, 1) for name in seen}, at, remember=True)
        question = Window(noisy, {name: torch.full((1, 1), 0.5) for name in noisy}, at + 1)
        return model.backbone([past, question], model.backbone.start(1), model.condition(["push"])).raw[1]

    early, late = beginning(0), beginning(500)
    for name, value in early.items():
        torch.testing.assert_close(late[name], value, atol=1e-4, rtol=0)


def test_rows_may_be_at_different_times(model: WanWorldModel) -> None:
    text, level = model.condition(["push"] * 2), torch.full((2, 1), 0.5)
    x = model.network.embed("video.front", torch.randn(1, 1, 4, 64).expand(2, -1, -1, -1), level, text)[:, 0]
    mask = torch.ones(4, 4, dtype=torch.bool)
    together, _ = model.network(x, torch.tensor([[[3] * 4], [[8] * 4]]), mask, condition=text)
    alone, _ = model.network(x[:1], torch.full((4,), 8), mask, condition=text.each(lambda x: x[:1]))
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


def test_features_are_plain_hidden_states(model: WanWorldModel) -> None:
    session = Session(model, ["push"])
    session.observe(tiny_observation(1))
    assert video_features(session, tap=1).shape == (1, 8, model.config.width)


def test_joint_imagination_covers_all_streams(model: WanWorldModel) -> None:
    session = Session(model, ["push"] * 2)
    session.observe(tiny_observation(2))
    values = session.imagine(Schedule.joint(2)).values
    wanted = [s for s in model.streams if s.imagined]
    assert {n: tuple(x.shape) for n, x in values.items()} == {s.name: (2, s.tokens, s.dim) for s in wanted}
    assert all(x.isfinite().all() for x in values.values()) and any(is_video(s) for s in wanted)


def test_nothing_is_derived_and_whole_frames_are_predicted(model: WanWorldModel) -> None:
    """As it was published to: presage's own network sees each frame once more as a token, and predicts changes."""
    values = model.encode_images(tiny_observation(1))
    assert not any(s.derive is not None for s in model.streams)
    video = next(s for s in model.streams if is_video(s))
    level, text = torch.zeros(1, 1), model.condition(["push"])
    shown = model.network.embed(video.name, values[video.name][:, None], level, text)
    # At level 0 a velocity has nothing to move, so that what was shown is what is predicted.
    assert model.expect(values, None, text.text) == {}
    torch.testing.assert_close(model.network.read(video.name, shown), values[video.name][:, None])


def test_without_a_context_only_the_newest_frame_counts(model: WanWorldModel) -> None:
    remembering, fresh = Session(model, ["push"], context=0), Session(model, ["push"], context=0)
    for t in range(3):
        remembering.observe(tiny_observation(1, seed=t), tiny_chunk(1, seed=t) if t else None)
    fresh.observe(tiny_observation(1, seed=2))
    torch.testing.assert_close(value_of(remembering), value_of(fresh), atol=1e-5, rtol=1e-4)
    a, b = remembering.imagine(Schedule.joint(2)).values, fresh.imagine(Schedule.joint(2)).values
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=1e-4)


def test_sessions_at_different_times_share_a_batch(model: WanWorldModel) -> None:
    def apart() -> list[Session]:
        sessions = [Session(model, [text], seed=i, context=0) for i, text in enumerate(("push", "open the drawer"))]
        for session, steps in zip(sessions, (1, 3), strict=True):
            for t in range(steps):
                session.observe(tiny_observation(1, seed=t), tiny_chunk(1, seed=t) if t else None)
        return sessions

    alone = [s.imagine(Schedule.joint(2)).values["video.front"] for s in apart()]
    together = JoinedSession(apart()).imagine(Schedule.joint(2)).values["video.front"]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)
