"""`presage dataset merge | split | filter | append | reencode`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from presage.errors import UserError
from presage.interface.commands import options
from presage.interface.commands.options import (
    Command,
    Data,
    ManyData,
    MaybeDistance,
    MaybeNatural,
    MaybePixels,
    MaybeSpan,
    MaybeText,
    NewFolder,
    PartNames,
    Shares,
    choice,
    one,
    several,
    whole,
)
from presage.results.output import summary, write_json
from presage.results.record import describe_run

if TYPE_CHECKING:
    from presage.episodes.edit import Written


@dataclass(frozen=True, kw_only=True)
class Tool(Command):
    """What all of them have in common."""

    def finish(self, folders: "dict[Path, Written]") -> None:
        """Print what was written and write `--json`."""
        from presage.episodes.disk import show_bytes

        figures: dict[str, Any] = {}
        for folder, written in folders.items():
            mine = {
                "episodes": written.episodes,
                "rows": written.rows,
                "videos_copied": written.videos_copied,
                "videos_compressed": written.videos_compressed,
                "bytes": written.bytes,
            }
            figures[folder.name] = mine
            summary(f"dataset {folder}", {**mine, "bytes": show_bytes(written.bytes)})
            if written.videos_compressed and not isinstance(self, Reencode):
                print(
                    f"{written.videos_compressed} videos of episodes had to be compressed again: they do "
                    "not begin with a "
                    "key frame, so they cannot be cut out of their files"
                )
            for note in written.notes:
                print(note)
            if written.left:
                print(f"not carried over: {', '.join(str(root / what) for root, what in written.left)}")
        print(f"\nNext: presage inspect {next(iter(folders))}")
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, figures))


@dataclass(frozen=True, kw_only=True)
class Merge(Tool):
    """Join datasets of one robot: same rate, cameras and columns."""

    data: Positional[Annotated[tuple[Path, ...], several(options.data, "DATA", least=2)]]
    """Datasets, in the order in which their episodes will come."""
    out: NewFolder
    """Folder of the new dataset."""

    def run(self) -> None:
        from presage.episodes.edit import write_episodes
        from presage.training.data import open_dataset

        self.finish({self.out: write_episodes([open_dataset(path) for path in self.data], self.out)})


@dataclass(frozen=True, kw_only=True)
class Split(Tool):
    """Deal the episodes of a dataset out to several, at random by --seed; each keeps their order."""

    data: Positional[Data]
    out: NewFolder
    """Folder for the parts."""
    shares: Shares = (0.9, 0.1)
    """How much of the episodes each part gets."""
    names: PartNames = ("train", "test")
    """Name of each part."""

    def run(self) -> None:
        import numpy as np

        from presage.episodes.edit import write_episodes
        from presage.training.data import open_dataset

        if len(self.shares) != len(self.names):
            raise UserError(
                f"{len(self.shares)} --shares and {len(self.names)} --names: give one of each for every part"
            )
        whole = open_dataset(self.data)
        count = len(whole.episodes)
        ends = np.round(np.cumsum(self.shares) / sum(self.shares) * count).astype(int)
        order = np.random.default_rng(self.seed).permutation(count)
        numbers = np.array([episode.index for episode in whole.episodes])
        chosen = {name: sorted(numbers[part].tolist()) for name, part in zip(self.names, np.split(order, ends[:-1]))}
        empty = [name for name, numbers in chosen.items() if not numbers]
        if empty:
            raise UserError(f"part {empty[0]!r} of {count} episodes would be empty; give it a larger share")
        hidden = self.out.with_name(f".{self.out.name}.writing")
        shutil.rmtree(hidden, ignore_errors=True)
        try:
            written = {
                self.out / name: write_episodes([open_dataset(whole.root, numbers)], hidden / name)
                for name, numbers in chosen.items()
            }
            os.rename(hidden, self.out)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        self.finish(written)


@dataclass(frozen=True, kw_only=True)
class Filter(Tool):
    """Keep the episodes for which every given condition holds."""

    data: Positional[Data]
    out: NewFolder
    """Folder of the new dataset."""
    contains: MaybeText = None
    """Part of the instruction, or of the task recorded with the episode; upper and lower case are the same."""
    success: Annotated[str | None, one(choice(("yes", "no")), "{yes,no}")] = None
    """Whether the episode was recorded, or labelled, as a success."""
    min_length: MaybeNatural = None
    max_length: MaybeNatural = None
    episodes: MaybeSpan = None
    """Numbers: 0:50, or 3,7,20:30."""
    max_unexplained: MaybeDistance = None
    """Of a dream (presage synthesize): how much of its motion its own labels need not bring back."""

    def run(self) -> None:
        from presage.episodes.choose import Wanted, parse_episodes
        from presage.episodes.edit import write_episodes
        from presage.episodes.outcome import episode_success
        from presage.training.data import open_dataset

        numbers = None if self.episodes is None else parse_episodes(self.episodes)
        wanted = Wanted(
            self.contains,
            None if self.success is None else self.success == "yes",
            self.min_length,
            self.max_length,
            None if numbers is None else frozenset(numbers),
            self.max_unexplained,
        )
        whole = open_dataset(self.data, numbers)
        known = [None] * len(whole.episodes) if wanted.success is None else episode_success(whole)
        kept = [e.index for e, success in zip(whole.episodes, known, strict=True) if wanted.holds(e, success)]
        if not kept:
            raise UserError(f"{self.data}: no episode of {len(whole.episodes)} meets the conditions; loosen them")
        print(f"{len(kept)} of {len(whole.episodes)} episodes")
        self.finish({self.out: write_episodes([open_dataset(whole.root, kept)], self.out)})


@dataclass(frozen=True, kw_only=True)
class Append(Tool):
    """Put the episodes of datasets behind those of another, in its folder. Files of the format are replaced when the
    new ones are whole; all others stay."""

    into: Positional[Annotated[Path, one(options.folder, "INTO")]]
    """The dataset that grows."""
    data: Positional[ManyData]
    """Datasets whose episodes are appended."""

    def run(self) -> None:
        from presage.episodes.grow import append_episodes
        from presage.training.data import open_dataset

        self.finish({self.into: append_episodes(self.into, [open_dataset(path) for path in self.data])})


@dataclass(frozen=True, kw_only=True)
class Reencode(Tool):
    """Compress the videos again, smaller or in another codec. What compression loses stays lost: keep the original.

    Depth maps, and other videos that are not of 8-bit colours, are copied as they are."""

    data: Positional[Data]
    out: NewFolder
    """Folder of the new dataset."""
    codec: Literal["h264", "hevc", "av1"] = "h264"
    """h264 is decoded fastest, av1 is smallest."""
    crf: Annotated[int, one(whole(0, 51), "N")] = 23
    """Quality: lower is better and larger; 18 to 35 are usual."""
    size: MaybePixels = None
    """Pixels of the shorter side; as recorded by default."""

    def run(self) -> None:
        from presage.episodes.cutting import Recompress
        from presage.episodes.edit import write_episodes
        from presage.episodes.video import encoding
        from presage.training.data import open_dataset

        recompress = Recompress(encoding(self.codec, self.crf), self.size)
        self.finish({self.out: write_episodes([open_dataset(self.data)], self.out, recompress)})


@dataclass(frozen=True, kw_only=True)
class DatasetCommand:
    """Merge, split, filter, append to or re-encode LeRobot datasets (v2.x and v3.0 in, v3.0 out).

    Numbers are copied bit for bit. Videos are copied without compressing them again wherever an episode can be cut out
    of its file; the summary says how many could not. Depth never loses a level. Other files of the folder come along,
    where all datasets have them alike. New datasets appear when they are whole. Each tool takes --seed and --json FILE,
    and explains itself with --help.

        presage dataset merge data/monday data/tuesday --out data/week
        presage dataset split data/week --out data/parts --shares 0.9 0.1 --names train test
        presage dataset filter data/week --out data/good --contains drawer --success yes --min-length 20
        presage dataset append data/week data/wednesday
        presage dataset reencode data/week --out data/small --codec av1 --crf 30 --size 240
    """

    tool: OmitSubcommandPrefixes[
        OmitArgPrefixes[
            Annotated[Merge, subcommand("merge")]
            | Annotated[Split, subcommand("split")]
            | Annotated[Filter, subcommand("filter")]
            | Annotated[Append, subcommand("append")]
            | Annotated[Reencode, subcommand("reencode")]
        ]
    ]

    def run(self) -> None:
        self.tool.run()
