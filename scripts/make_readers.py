"""Record frames with objects at random places, train the readers of poses on them, and put these where they ship.

What is done lies in the user's cache folder, so a killed call goes on when it is repeated. `presage bench readers`
prints how far off they are.
"""

from presage.episodes.user_cache import cache_folder
from presage.simulator.frames.fit_readers import make
from presage.simulator.frames.readers import SHIPPED
from presage.training.part import PartTraining

TRAINING = PartTraining(steps=3500, batch=64, lr=1.5e-3, weight_decay=0.01, cooldown=0.5, save_every=250, bf16=True)
SEEDS = 150
"""Of each task"""

if __name__ == "__main__":
    make(cache_folder() / "readers", SHIPPED, TRAINING, SEEDS)
