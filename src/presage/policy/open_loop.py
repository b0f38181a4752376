"""Open loop: generate a whole video from one frame, translate it to actions, execute them without looking.

Du et al. 2023 (UniPi, section 3). The robot looks again only when the plan is used up, `horizon` chunks later: until
then nothing can correct an error, which is what the closed loop is compared with.
"""

import numpy as np

from presage.networks.executable import executable
from presage.networks.names import ACTION
from presage.networks.robot import RobotModel
from presage.policy.closed_loop import imagine_video, translate
from presage.policy.grounded import CONTEXT
from presage.timeline.session import Session
from presage.timeline.streams import Values
from presage.worlds.protocol import Observation


def dream_video(session: Session, blocks: int, steps: int) -> list[Values]:
    """Tokens of the next `blocks` frames (and states), each imagined from the imagined ones before; no action anywhere.

    The session steps into its dream.
    """
    video = []
    for _ in range(blocks):
        video.append(imagine_video(session, steps))
        session.append(video[-1], imagined=True)
    return video


def translate_video(session: Session, video: list[Values], steps: int) -> np.ndarray:
    """Chunks (blocks, B, chunk, A) that follow `video` from the session's newest frame; the session steps along."""
    chunks = []
    for frame in video:
        chunk = executable(session.model, translate(session, frame, steps))
        session.append({**frame, ACTION: session.model.encode_action(chunk)}, imagined=True)
        chunks.append(chunk)
    return np.stack(chunks)


class OpenLoopPolicy:
    """A `Policy` that looks once in `horizon` chunks.

    Args:
        horizon: chunks executed between two looks.
        video_steps: denoising steps of a frame.
        action_steps: denoising steps of its translation.
    """

    def __init__(
        self, model: RobotModel, horizon: int = 16, video_steps: int = 2, action_steps: int = 1, seed: int = 0
    ) -> None:
        self.model, self.horizon, self.seed = model, horizon, seed
        self.video_steps, self.action_steps = video_steps, action_steps
        self.instructions: list[str]
        self.plan: np.ndarray
        self.used: int

    def reset(self, instructions: list[str]) -> None:
        self.instructions = instructions
        self.used = self.horizon

    def act(self, observation: Observation) -> np.ndarray:
        """The next chunk of the plan, or of a new one; rows that `observation["active"]` excludes get no new plan."""
        if self.used == self.horizon:
            self.plan, self.used = self._plan(dict(observation)), 0
        self.used += 1
        return self.plan[self.used - 1]

    def _plan(self, observation: Observation) -> np.ndarray:
        """Chunks (horizon, N, chunk, A); zeros in inactive rows."""
        count = len(self.instructions)
        active, episode = observation.pop("active", np.ones(count, bool)), observation.pop("episode", np.arange(count))
        rows = np.flatnonzero(active)
        seeds = [(self.seed, number) for number in episode[rows].tolist()]
        now = {name: x[rows] for name, x in observation.items()}
        sessions = []
        for _ in range(2):  # the dream, then its translation: both start from the one frame that is seen
            instructions = [self.instructions[i] for i in rows]
            sessions.append(Session(self.model, instructions, seed=seeds, context=CONTEXT))
            sessions[-1].observe(now)
        video = dream_video(sessions[0], self.horizon, self.video_steps)
        plan = np.zeros((self.horizon, len(active), *self.model.chunk_shape), np.float32)
        plan[:, rows] = translate_video(sessions[1], video, self.action_steps)
        return plan
