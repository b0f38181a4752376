"""Push-T: gym-pusht's task, with exact snapshots and an expert."""

import sys

import numpy as np
import pytest

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.worlds import ExpertPolicy, make_world, rollout
from presage.worlds.collect import collect
from presage.worlds.pusht import Renderer, Simulation
from presage.worlds.world import Snapshot, find_world


@pytest.fixture
def simulation() -> Simulation:
    return Simulation("pusht")


def started(simulation: Simulation, seed: int, steps: int = 0) -> Simulation:
    """The simulation after some steps of the expert."""
    simulation.reset(seed)
    for _ in range(steps):
        simulation.step(simulation.expert_action())
    return simulation


# -- the task is gym-pusht's: these numbers were printed by gym-pusht 0.1.8 with pymunk 6.11.1 ----------------------


@pytest.mark.parametrize(
    ("seed", "agent", "block", "coverage"),
    [
        (0, (390, 304), (253, 225, -2.8841484100105235), 0.2657831144772234),
        (1, (239, 254), (326, 430, -2.2358110930610913), 0.0),
        (2, (385, 154), (132, 234, 1.9743385564396059), 0.0),
    ],
)
def test_starts_where_gym_pusht_starts(simulation, seed, agent, block, coverage):
    simulation.reset(seed)
    assert tuple(simulation.agent[:2]) == agent and tuple(simulation.block[:3]) == block
    assert simulation.coverage == pytest.approx(coverage, abs=1e-12)


@pytest.mark.parametrize(
    ("agent", "block", "action", "after"),
    [
        (
            (227.41985380998904, 164.80535671197006, -144.1119825854232, 11.291531907158824),
            (
                219.5703597304593,
                226.79461302238877,
                -3.515346062943449,
                -64.2854447206077,
                25.211950522774764,
                -1.262368617817695,
            ),
            (-0.260314404964447, -0.32393667101860046),
            (212.65178557685852, 230.02292802102411, -3.6549405665400614),
        ),
        (
            (156.54740726744382, 366.8790108272847, -24.802893000550803, -134.71387983582076),
            (
                189.68997254254344,
                361.89333802462454,
                -0.15210993656354374,
                -15.0944216081952,
                -98.46711261079,
                1.1129028514791859,
            ),
            (-0.3972935378551483, 0.2890733480453491),
            (188.62822608165126, 350.9856016673596, -0.029740893909050582),
        ),
        (
            (419.5327952849585, 306.40992286417827, -3.1618331225180283, -157.61703259974425),
            (
                355.7266417889321,
                273.4220075445318,
                2.633933904035449,
                -44.36975985000212,
                -79.76027621972194,
                -1.2085101822253748,
            ),
            (0.6155687570571899, 0.03144286945462227),
            (350.23495520238237, 264.82377459761653, 2.499189685546961),
        ),
    ],
)
def test_a_push_moves_the_block_as_in_gym_pusht(simulation, agent, block, action, after):
    """Within a tenth of a pixel: gym-pusht's contact solver starts a step from its last one, which nobody can save."""
    simulation.reset(0)
    simulation.agent, simulation.block = np.array(agent), np.array(block)
    simulation.step(np.array(action, np.float32))
    assert np.allclose(simulation.block[:2], after[:2], atol=0.1) and simulation.block[2] == pytest.approx(
        after[2], abs=2e-3
    )


# -- snapshots, disturbances, expert ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 12, 25])
def test_a_run_goes_on_from_its_snapshot_bit_for_bit(simulation, steps):
    saved = started(simulation, 3, steps).save().to_bytes()
    runs = []
    for other in (simulation, Simulation("pusht")):
        other.load(Snapshot.from_bytes(saved))
        rng = np.random.default_rng(0)
        run = []
        for _ in range(40):
            other.step(other.expert_action() + rng.normal(0, 0.1, 2))
            run.append(np.concatenate([other.agent, other.block, [other.coverage, other.steps, other.success]]))
        runs.append(np.array(run))
        started(simulation, 8, 5)  # what happens in between leaves no trace
    assert np.array_equal(*runs) and np.ptp(runs[0][:, 4]) > 1  # and the block was moved


def test_a_snapshot_is_no_pickle_and_knows_its_task(simulation):
    saved = started(simulation, 3, 2).save()
    assert saved.to_bytes() == saved.to_bytes() and b"numpy" not in saved.to_bytes()
    with pytest.raises(UserError, match="not a snapshot"):
        Snapshot.from_bytes(b"\x80\x04something else")
    with pytest.raises(UserError, match="'fetch-push' cannot be restored into 'pusht'"):
        simulation.load(Snapshot("fetch-push", False, 0, saved.arrays))


def test_the_expert_solves_it_smoothly_from_anywhere(simulation):
    jumps = []
    for seed in range(6):
        before = started(simulation, seed).expert_action()
        while not simulation.success and simulation.steps < 300:
            action = simulation.expert_action()
            jumps.append(np.abs(action - before).mean())
            before = action
            simulation.step(action)
        assert simulation.success and simulation.steps < 150
    assert np.mean(jumps) < 0.1


@pytest.mark.parametrize("kind", ["knock", "move"])
def test_disturbances_move_the_block_and_the_expert_recovers(simulation, kind):
    started(simulation, 2, 20)
    agent, block = simulation.agent.copy(), simulation.block.copy()
    simulation.disturb(kind, seed=1)
    assert np.linalg.norm(simulation.block[:2] - block[:2]) > 20 and np.array_equal(simulation.agent, agent)
    while not simulation.success and simulation.steps < 300:
        simulation.step(simulation.expert_action())
    assert simulation.success
    with pytest.raises(UserError, match="knock, move"):
        simulation.disturb("remove", 0)


# -- pictures, the vector environment, datasets -----------------------------------------------------------------------


def test_images_are_upright_and_show_everything_where_it_is(simulation):
    simulation.reset(0)
    simulation.agent[:2] = (450.0, 60.0)  # y points down: near the upper right corner
    renderer = Renderer(("top",), 64, 2)
    image, hidden = (simulation.frames(renderer, show)["top"].astype(int) for show in (True, False))
    blue = np.argwhere((image[..., 2] - image[..., 0]) > 100).mean(0)
    assert np.allclose(blue, np.array([60, 450]) / 8 - 0.5, atol=0.7)
    goal = np.abs(image - hidden).max(-1) > 20
    assert (
        40 < goal.sum() < 6300 / 64 and (image[goal][:, 1] > image[goal][:, 0]).all()
    )  # green; partly under the block
    assert simulation.masks(renderer)["top"].sum() > simulation.masks(renderer, show_goal=False)["top"].sum() + 40


def test_one_vector_environment_interface():
    world = make_world("pusht", num_envs=2)
    observation, info = world.reset(seed=[0, 1])
    assert observation["image.top"].shape == (2, 64, 64, 3) and observation["state"].shape == (2, 2)
    assert info["instruction"] == ["push the T onto its outline"] * 2
    assert np.allclose(world.hand_pixels("top"), observation["state"] / 8)
    saved = world.snapshot([0, 1])
    chunks = world.expert_chunk()
    assert chunks.shape == (2, 4, 2) and world.snapshot([0, 1]) == saved
    assert not world.expert_chunk(np.zeros(2, bool)).any()
    after = world.step(chunks)[0]
    world.restore([0, 1], saved)
    assert np.array_equal(world.step(chunks)[0]["state"], after["state"])
    results = rollout(ExpertPolicy(world), world, ["pusht"] * 2, [4, 5], max_steps=40)
    assert all(result.success for result in results)


def test_tasks_of_different_actions_are_not_mixed():
    with pytest.raises(UserError, match="action size 4 and 2 do not mix"):
        make_world("metaworld", tasks=["push-v3", "pusht"])
    world = make_world("pusht")
    with pytest.raises(UserError, match="action size 2 and 4 do not mix"):
        world.reset(seed=[0], options={"task": ["push-v3"]})
    with pytest.raises(UserError, match="'front'; choose from top"):
        make_world("pusht", cameras=["front"])


def test_a_missing_simulator_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "presage.worlds.pusht")
    monkeypatch.setitem(sys.modules, "pymunk", None)
    with pytest.raises(UserError, match=r"'pusht' needs pymunk; type: pip install .*\[pusht\]"):
        find_world("pusht")


def test_a_collected_dataset_reads_back(tmp_path):
    collect(tmp_path / "data", ["pusht"], 6, size=32, workers=1)
    dataset = Dataset(tmp_path / "data")
    assert len(dataset.episodes) == 6 and list(dataset.cameras) == ["top"] and dataset.fps == 2.5
    assert dataset.column("action").shape == (dataset.num_rows, 8) and np.abs(dataset.column("action")).max() <= 1
    assert dataset.column("observation.state").shape == (dataset.num_rows, 2)
    experts = [episode for episode in dataset.episodes if episode.info["behaviour"] == "expert"]
    assert experts and all(episode.info["success"] for episode in experts)
    with pytest.raises(UserError, match="do not mix"):
        collect(tmp_path / "mixed", ["fetch-push", "push-v3"], 1)
