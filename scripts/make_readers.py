"""Record frames with objects at random places, train the readers of poses on them, and put these where they ship.

    python scripts/make_readers.py              # of Meta-World, 20 minutes on two cores
    python scripts/make_readers.py pusht        # of Push-T, 6 minutes on one

What is done lies in the user's cache folder, so a killed call goes on when it is repeated. `presage bench readers`
prints how far off they are.
"""

import sys

from presage.episodes.user_cache import cache_folder
from presage.simulator.frames.fit_readers import make
from presage.simulator.frames.readers import PUSHT, SHIPPED, pusht_reader
from presage.training.part import PartTraining

TRAINING = PartTraining(steps=3500, batch=64, lr=1.5e-3, weight_decay=0.01, cooldown=0.5, save_every=250, bf16=True)
SEEDS = 150
"""Of each task"""
OF_PUSHT = PartTraining(steps=2500, batch=64, lr=2e-3, weight_decay=0.01, cooldown=0.5, save_every=250, bf16=True)
SEEDS_OF_PUSHT = 600

if __name__ == "__main__":
    if sys.argv[1:] == ["pusht"]:
        make(cache_folder() / "readers-pusht", PUSHT, OF_PUSHT, SEEDS_OF_PUSHT, workers=0, fresh=pusht_reader)
    else:
        make(cache_folder() / "readers", SHIPPED, TRAINING, SEEDS)
