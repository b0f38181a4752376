"""What the streams of a robot's world model are called here. The heart never reads a name; these are for who asks."""

from presage.timeline.streams import Stream

VIDEO, SCENE, ACTION, STATE, VALUE = "video", "scene", "action", "state", "value"
LIMIT = 6.0
"""No clean value is further from 0: values have unit variance, and one number in ten thousand of real frames lies
beyond. Frames that are predicted as changes of imagined ones would otherwise grow without bound where a dream goes
wrong."""


def is_video(stream: Stream) -> bool:
    """A camera's: `video.<camera>`."""
    return stream.name.startswith(f"{VIDEO}.")
