"""`presage label`: say which recorded episodes succeeded, in a browser."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tyro.conf import Positional

from presage.errors import UserError
from presage.interface.commands.options import (
    Command,
    Count,
    Data,
    Host,
    MaybeFile,
    MaybeOutFile,
    MaybeSpan,
    Port,
)
from presage.results.output import command_line, summary, write_json

if TYPE_CHECKING:
    from presage.episodes.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Label(Command):
    """Say which recorded episodes succeeded: a page of this machine loops them, all cameras side by side.

    Keys: 1 success, 0 failure, space not sure (skip), backspace one back. The last frame is what counts. Every answer
    is on the disk before the next clip is shown; the same command goes on where it stopped.

        presage label data/arm
        presage label data/arm --most 100 --seed 1
        presage label user/name --episodes 0:50 --out name.labels.json
        PRESAGE_API_KEY=$(openssl rand -hex 32) presage label data/arm --host 0.0.0.0

    The answers appear in DATA.labels.json, beside the dataset; of a dataset of the hub in data/user--name.labels.json
    of the working folder. From then on they count wherever that dataset is opened, as if they had been recorded: in
    presage evaluate, act, synthesize, train, and in presage dataset, which writes them into copies. With --out, give
    the file to --labels of those commands. An outcome that was recorded is never overridden: such episodes are not
    asked, and where a label contradicts a recording, the recording counts and a line says so. Ctrl-C ends it with
    code 0.
    """

    data: Positional[Data]
    """Dataset folder, or user/name on the Hugging Face hub."""
    out: MaybeOutFile = None
    """File of the answers; DATA.labels.json by default. One of other episodes or of another dataset is refused."""
    episodes: MaybeSpan = None
    """Which episodes: 0:50, or 3,7,20:30. All by default."""
    most: Count = 300
    """Episodes at most, chosen and ordered by --seed."""
    all: bool = False
    """Ask of episodes whose outcome was recorded, too. It counts all the same; the summary says how far you agree."""
    host: Host = "127.0.0.1"
    """Address to listen on; the default is reachable from this machine only."""
    port: Port = 8020
    """Port to listen on; 0 chooses a free one."""
    token_file: MaybeFile = None
    """File that holds the token."""

    def run(self) -> None:
        from presage.episodes.choose import parse_episodes
        from presage.episodes.labels import beside
        from presage.interface.doorway import page_address, token_for
        from presage.interface.label.answers import Answers, agreement
        from presage.interface.label.server import LabelServer
        from presage.serving.host import run_until_signalled
        from presage.training.data import open_dataset

        token = token_for(self.host, self.token_file)
        chosen = None if self.episodes is None else parse_episodes(self.episodes)
        dataset = open_dataset(self.data, chosen, labels=None)
        if not dataset.cameras:
            raise UserError(f"{dataset.root}: it has no camera, so there is nothing to look at")
        answers = Answers(dataset, self.out or beside(dataset.root), self._asked(dataset))
        server = LabelServer(dataset, answers, token)

        def ready(port: int) -> None:
            counts = answers.counts()
            before = f", {counts['answered']} of them answered already" if counts["answered"] else ""
            print(f"{len(answers.asked)} of {len(dataset.episodes)} episodes are asked{before}: {answers.path}")
            print(f"label at {page_address(self.host, port, token)} (Ctrl-C stops it)", flush=True)

        run_until_signalled(server, self.host, self.port, ready)
        figures = answers.counts()
        pairs, same = agreement(dataset, answers.labels)
        agreed = {"of recorded outcomes you agree with": f"{same} of {pairs}"} if pairs else {}
        summary(f"labels {answers.path}", figures | agreed)
        given = "" if self.out is None else f" --labels {self.out}"
        print(
            f"\nNext: presage evaluate --data {self.data}{given} --checkpoint RUN/model --policies joint no_imagination"
        )
        if self.json is not None:
            figures |= {"recorded": pairs, "agreed": same}
            write_json(self.json, {"command": command_line(), "seed": self.seed, "figures": figures})

    def _asked(self, dataset: "Dataset") -> list[int]:
        """Numbers of the episodes to ask about, in an order that --seed chooses.

        Raises:
            UserError: the outcome of all of them was recorded.
        """
        import numpy as np

        from presage.episodes.outcome import episode_success

        numbers = [
            e.index
            for e, known in zip(dataset.episodes, episode_success(dataset), strict=True)
            if known is None or self.all
        ]
        if not numbers:
            raise UserError(
                f"{dataset.root}: the outcome of all of its {len(dataset.episodes)} episodes was recorded, so it needs "
                "no label (--all asks all the same)"
            )
        chosen: list[int] = np.random.default_rng(self.seed).permutation(numbers)[: self.most].tolist()
        return chosen
