"""Settings every test shares. They must stand before torch or mujoco is imported."""

import os

# One thread in every process, whatever the environment says: on two cores, two workers of two threads each wait for
# each other, and tiny networks become ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
# Without a display mujoco would pick GLFW and fail.
os.environ.setdefault("MUJOCO_GL", "egl")
# Exactness is tested in fp32, also where the processor would choose bf16; processes that tests start inherit it.
os.environ["PRESAGE_FP32"] = "1"

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# No deadline: the machines that run these tests are shared, and a slow example is not a failure.
# Derandomized: the same commit gives the same verdict. Search further with --hypothesis-profile=thorough.
settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def wan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Wan 2.1 in diffusers' format."""
    from presage.networks.random_wan import write_random_backbone

    return write_random_backbone(tmp_path_factory.mktemp("backbones") / "tiny-wan")
