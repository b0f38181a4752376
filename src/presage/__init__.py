"""presage: video world models for robot control."""

__version__ = "0.1.0"
