"""Imported by LeRobot because of its name; registers the policy type `presage`."""

from presage.serving.lerobot import PresageConfig, PresagePolicy, make_presage_pre_post_processors

__all__ = ["PresageConfig", "PresagePolicy", "make_presage_pre_post_processors"]
