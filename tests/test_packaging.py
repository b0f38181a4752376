"""The outside of the repository: what is declared, what is pinned, what is installed, and that importing is cheap."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import presage

ROOT = Path(__file__).parents[1]


def pins() -> dict[str, Version]:
    lines = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in lines}


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        pinned = pins().get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is missing in constraints.txt"
        assert pinned in requirement.specifier, f"{requirement} excludes the pinned {pinned}"


def test_the_tested_environment_is_the_pinned_one() -> None:
    installed = {canonicalize_name(d.name): Version(d.version) for d in distributions()}
    for name, version in pins().items():
        if name in installed:
            # The local part (+cpu) names the build, not the version.
            assert Version(installed[name].public) == version, name


def test_importing_presage_is_light() -> None:
    heavy = ["torch", "mujoco", "metaworld", "av", "pyarrow", "matplotlib", "scipy"]
    code = f"import presage, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert Version(presage.__version__) >= Version("0.1")
