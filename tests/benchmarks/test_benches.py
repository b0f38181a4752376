"""The benches measure what they say, on a random model where skill does not matter."""

import importlib.util
import multiprocessing
import time

import numpy as np
import pytest
import torch
from tests.tiny import tiny_chunk, tiny_model, tiny_observation

from presage.benchmarks import BENCHES, cache, codec, collect, realtime, serving, training, worlds
from presage.benchmarks.common import BenchArgs
from presage.benchmarks.wall_clock import (
    Answer,
    Frame,
    Report,
    Scene,
    _newest,
    anticipate,
    run_live,
    stepping,
)
from presage.networks.world_model import WorldModel
from presage.policy.asynchronous import Asynchronous
from presage.policy.sampled import sampled
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.checkpoint import save_model
from presage.training.recipes import metaworld
from presage.worlds.world import Snapshot, find_world


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> BenchArgs:
    folder = save_model(tiny_model(size=64), tmp_path_factory.mktemp("bench") / "model", "a random model")
    return BenchArgs(folder, 0, 1, torch.device("cpu"), quick=True)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_model()


# -- cache ------------------------------------------------------------------------------------------------------------


def test_the_recomputation_agrees_with_the_session(model: WorldModel) -> None:
    assert cache.largest_difference(model, 12, seed=0) < 1e-4


def test_the_comparison_notices_a_wrong_cache(model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Session.append

    def forgetful(self: Session, *args, **kwargs):
        block = append(self, *args, **kwargs)
        self.past = self.past.recent(1)
        return block

    monkeypatch.setattr(Session, "append", forgetful)
    assert cache.largest_difference(model, 6, seed=0) > 1e-3


def test_the_receptive_field_is_enough(model: WorldModel) -> None:
    generator = torch.Generator().manual_seed(0)
    reach = model.config.layers * model.config.window + 1
    everything, near = cache.Uncached(model, ["a"], 0), cache.Uncached(model, ["a"], 0, reach)
    for i in range(reach + 4):
        block = cache.random_block(model, generator, first=i == 0)
        assert torch.allclose(everything.append(block), near.append(block), atol=1e-5)


# -- codec, collect, training -----------------------------------------------------------------------------------------


def test_codec_bench(arguments: BenchArgs) -> None:
    figures = codec.run(arguments)
    assert 0 < figures["psnr"] < 60 and 0 < figures["object_psnr"] < 60 and figures["ssim"] <= 1
    assert 0 < figures["object_share"] < 0.3
    assert "psnr/reach-v3" in figures


def test_collect_bench_counts_rows_and_images(arguments: BenchArgs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "MT10", ["reach-v3"])
    figures = collect.run(arguments)
    assert figures["images"] == 2 * figures["frames"] and figures["frames_per_s"] == figures["images_per_s"] / 2


def test_worlds_bench(arguments: BenchArgs) -> None:
    figures = worlds.run(arguments)
    assert [figures[f"snapshot_difference/{name}"] for name in ("metaworld", "pusht", "fetch")] == [0, 0, 0]
    assert figures["expert/pusht"] == 1 and figures["images_per_s/fetch"] > 0


def test_the_worlds_bench_notices_a_snapshot_that_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = find_world("pusht").simulation("pusht")
    whole = simulation.save

    def forgetful() -> Snapshot:
        saved = whole()
        saved.arrays["agent"][2:] = 0.0  # the agent's velocity
        return saved

    monkeypatch.setattr(simulation, "save", forgetful)
    assert worlds.snapshot_difference(simulation, 0) > 1e-3


def test_training_bench(arguments: BenchArgs) -> None:
    figures = training.run(arguments)
    assert 0 < figures["ceiling_share"] < 1 and figures["tokens_per_s"] > 0


def test_operations_are_those_of_the_matrix_products(model: WorldModel) -> None:
    rows = training.random_rows(model, 40, 0)
    tokens, operations = training.count(model, rows, metaworld().training)
    matrices = sum(p.numel() for layer in model.network.layers for p in layer.parameters() if p.ndim == 2)
    # Forward and backward take six operations a weight and token; attention and embeddings come on top.
    assert 6 * matrices * tokens < operations < 60 * matrices * tokens


# -- realtime ---------------------------------------------------------------------------------------------------------


def test_a_chunk_is_decided_before_its_frame_is_seen(model: WorldModel) -> None:
    policy = Asynchronous(model, sampled(Schedule.joint(1)), 1, stepping(1))
    policy.reset(["open the drawer"])
    assert (policy.act(tiny_observation(1, seed=0)) == 0).all()  # it is still thinking
    second = policy.act(tiny_observation(1, seed=1))
    policy.reset(["open the drawer"])
    policy.act(tiny_observation(1, seed=0))
    assert (policy.act(tiny_observation(1, seed=2)) == second).all()  # the second frame came too late to matter
    assert (policy.act(tiny_observation(1, seed=3)) != second).any()


def test_anticipation_leaves_the_truth_alone(model: WorldModel) -> None:
    session = Session(model, ["open the drawer"])
    session.observe(tiny_observation(1))
    anticipate(session, tiny_chunk(1), 1)
    assert [b.imagined for b in session.blocks] == [False, True]
    session.observe(tiny_observation(1), tiny_chunk(1))
    assert [b.imagined for b in session.blocks] == [False, False] and session.step == 1


def test_only_the_answer_for_this_chunk_counts() -> None:
    ours, theirs = multiprocessing.Pipe()
    report, chunk = Report(), np.zeros((4, 4))
    for block in (3, 4):
        ours.send(Answer(block, captured=1.0, sent=1.2, chunk=chunk + block))
    found = _newest(theirs, 4, report)
    assert found is not None and (found.chunk == 4).all()
    assert _newest(theirs, 5, report) is None
    assert report.latencies == pytest.approx([0.2, 0.2])


def test_the_clock_waits_for_nobody() -> None:
    """A controller that is far too slow misses deadlines; the simulator's time goes on."""
    model = tiny_model(size=64)
    observe = model.encode_images

    def slow(observation):
        time.sleep(0.5)
        return observe(observation)

    model.encode_images = slow  # type: ignore[method-assign]
    scene = Scene(["reach-v3"], [0], ["front", "top"], 64, 4, max_steps=60, seconds=2.0)
    report, _ = run_live(model, scene, steps=1, seed=0)
    assert report.ticks == 40 and report.deadlines == 9 and report.missed == 9
    assert report.ages == []


def test_a_machine_too_busy_to_answer_leaves_the_quantiles_open() -> None:
    assert realtime._milliseconds("live", []) == {"p50_ms_live": None, "p99_ms_live": None}
    assert realtime._milliseconds("live", [0.5]) == {"p50_ms_live": 500, "p99_ms_live": 500}


def test_realtime_bench(arguments: BenchArgs) -> None:
    figures = realtime.run(arguments)
    for key in ("replans_per_s_full", "p50_ms_full", "p99_ms_full", "deadline_ms", "missed_full"):
        assert figures[key] >= 0
    assert figures["deadline_ms"] == pytest.approx(200)
    assert 0 <= figures["success_at_this_setting_low"] <= figures["success_at_this_setting"]
    assert figures["replans_per_s_no_imagination"] > 0


def test_frames_travel_between_processes() -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.send(Frame(0, 0.0, "a", True, tiny_observation(1), None, np.zeros((4, 4))))
    assert theirs.recv().instruction == "a"


# -- serving ----------------------------------------------------------------------------------------------------------


def test_serving_bench(arguments: BenchArgs) -> None:
    figures = serving.run(arguments)
    assert figures["cross_talk"] == 0 and figures["malformed_not_refused"] == 0 and figures["exit_code"] == 0
    assert figures["closest_sessions"] > 10 * figures["tolerance"]  # mixing two sessions up would have been noticed
    assert figures["wrong_key_refused"] and figures["killed_client_freed_s"] < 30
    assert figures["mean_batch"] >= 1 and figures["requests"] >= figures["clients"]


def test_the_serving_bench_notices_answers_of_another_session(model: WorldModel) -> None:
    one, other = (serving.record_episode(model, 0, client, steps=3) for client in range(2))
    assert serving.closest([one, other]) > 0.01
    assert serving.closest([one, one]) == 0


def test_every_bench_is_there() -> None:
    for module, line in BENCHES.values():
        assert importlib.util.find_spec(module) is not None and line
