"""Wan's video autoencoder and text encoder behave as the published pipeline uses them."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline

from presage.codecs.wan_text import WanText
from presage.codecs.wan_vae import StreamingEncoder, WanCodec, WanCodecConfig, encode_clip, latents_from_tokens
from presage.errors import UserError


@pytest.fixture(scope="module")
def codec(wan_folder: Path) -> WanCodec:
    return WanCodec(WanCodecConfig(size=32), AutoencoderKLWan.from_pretrained(wan_folder / "vae"))


def clip(batch: int, frames: int, high: int = 32, wide: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (batch, frames, high, wide, 3), dtype=torch.uint8)


@torch.no_grad()
def whole(codec: WanCodec, frames: torch.Tensor) -> torch.Tensor:
    pixels = frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    return codec.normalise(codec.vae.encode(pixels).latent_dist.mode())


@pytest.mark.parametrize(("batch", "frames", "wide"), [(1, 1, 32), (2, 13, 32), (1, 21, 48)])
def test_streaming_equals_the_whole_clip(codec: WanCodec, batch: int, frames: int, wide: int) -> None:
    video = clip(batch, frames, wide=wide)
    found = encode_clip(codec, video)
    assert found.shape == (batch, 16, 1 + frames // 4, 4, wide // 8)
    torch.testing.assert_close(found, whole(codec, video), atol=1e-5, rtol=0)


def test_streams_do_not_disturb_each_other(codec: WanCodec) -> None:
    a, b = clip(1, 5), clip(1, 5)
    first, second = StreamingEncoder(codec), StreamingEncoder(codec)
    first.push(a[:, :1])
    second.push(b[:, :1])
    codec.encode(a[:, 0])
    torch.testing.assert_close(first.push(a[:, 1:]), whole(codec, a)[:, :, 1], atol=1e-5, rtol=0)


def test_a_stream_refuses_another_number_of_frames(codec: WanCodec) -> None:
    stream = StreamingEncoder(codec)
    with pytest.raises(ValueError, match="first call takes 1"):
        stream.push(clip(1, 4))


def test_a_frame_of_a_session_is_the_first_frame_of_a_clip(codec: WanCodec) -> None:
    frames = clip(2, 5)
    tokens = codec.encode(frames[:, 0])
    assert tokens.shape == (2, 4, 64)
    torch.testing.assert_close(latents_from_tokens(tokens, 2), whole(codec, frames)[:, :, 0], atol=1e-5, rtol=0)


def test_decoding_is_the_published_decoder_on_one_frame(codec: WanCodec) -> None:
    tokens = torch.randn(3, 4, 64)
    latents = latents_from_tokens(tokens, 2)[:, :, None] * codec.std + codec.mean
    with torch.no_grad():
        pixels = codec.vae.decode(latents).sample[:, :, 0]
    expected = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    images = codec.decode(tokens)
    assert images.shape == (3, 32, 32, 3) and torch.equal(images, expected)


def test_instructions_are_embedded_as_the_pipeline_does(wan_folder: Path) -> None:
    pipeline = WanPipeline.from_pretrained(wan_folder)
    pipeline.text_encoder.to(torch.bfloat16)
    texts = ["open the drawer", "  push the   puck to the goal"]
    expected, _ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False, max_sequence_length=512)
    found = WanText(wan_folder, 16).embed(texts)
    assert found.shape == (2, 16, 16)
    torch.testing.assert_close(
        found, expected[:, :16].float(), atol=0.05, rtol=0
    )  # bf16 rounds by the length of the sum
    assert (expected[:, 16:] == 0).all() and (found[:, -1] == 0).all()


@pytest.mark.parametrize(("text", "says"), [("  ", "empty"), ("open the drawer " * 9, "at most 15 fit")])
def test_an_instruction_that_does_not_fit_is_refused(wan_folder: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        WanText(wan_folder, 16).embed([text])
