"""The shipped model of pixels moves in its frames what the actions move; with its weights shuffled it does not."""

from presage.simulator.frames.imagine import as_shipped, session_imagines, with_random_network
from presage.simulator.frames.measure import measure
from presage.simulator.frames.readers import Reader
from presage.simulator.frames.scenes import Scenes
from presage.systems.checkpoint import open_model
from presage.systems.shipped import SHIPPED


def test_hand_and_objects_follow_and_no_random_network_does_that(recorded: dict[str, Scenes], reader: Reader) -> None:
    model = open_model(SHIPPED)
    given = [recorded["expert"], recorded["branch"]]
    own = measure(session_imagines(model, as_shipped()), given, reader)
    random = measure(session_imagines(with_random_network(model, 0), as_shipped()), given, reader)
    assert own["hand_px_8"] < own["copy_hand_px_8"] / 3 < random["hand_px_8"]
    assert own["robot_psnr_8"] > own["copy_robot_psnr_8"] + 4 and random["robot_psnr_8"] < own["copy_robot_psnr_8"] + 1
    assert own["counterfactual_r_hand"] > 0.8 > abs(random["counterfactual_r_hand"])
