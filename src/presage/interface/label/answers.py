"""What a person has said of a dataset's episodes, what comes next, and the file that keeps it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from presage.episodes.dataset import Dataset
from presage.episodes.labels import Labels, known_by, name_of, read_labels, require_fit, write_labels
from presage.episodes.outcome import episode_success
from presage.errors import UserError


class Answers:
    """One round of questions. Every answer is on the disk before the next question.

    asked: numbers of the episodes, in the order in which they are asked. now: the number that is asked, None at the
    end.

    Args:
        dataset: as it was recorded.
        path: the file of labels; what it holds already is not asked again.

    Raises:
        UserError: the file holds something else, or labels of another dataset.
    """

    def __init__(self, dataset: Dataset, path: Path, asked: Sequence[int]) -> None:
        self.path, self.asked = path, list(asked)
        self.labels = read_labels(path) if path.exists() else Labels(name_of(dataset.root))
        require_fit(path, self.labels, dataset)
        self._known = known_by(dataset)
        self.now = self._next()

    def said(self, number: int) -> bool | None:
        """What was said of an episode; None: nothing, or that nobody knows."""
        answer = self.labels.answers.get(number)
        return None if answer is None else answer.success

    def say(self, number: int, success: bool | None) -> None:
        """Answer the question that is asked and go on to the first that was not asked yet.

        Raises:
            UserError: another one is asked, or the answer cannot be written: it does not count.
        """
        if number != self.now:
            raise UserError(f"episode {number} is not asked now: its clip was left already")
        answer = replace(self._known[number], success=success)
        labels = replace(self.labels, answers=self.labels.answers | {number: answer})
        write_labels(self.path, labels)
        self.labels = labels
        self.now = self._next()

    def back(self) -> None:
        """Ask the one that was answered before this one again; the first stays."""
        given = [number for number in self.labels.answers if number in self.asked]
        place = given.index(self.now) if self.now in given else len(given)
        if place:
            self.now = given[place - 1]

    def counts(self) -> dict[str, int]:
        """Of what is asked in this round."""
        said = [answer.success for number, answer in self.labels.answers.items() if number in self.asked]
        return {
            "asked": len(self.asked),
            "answered": len(said),
            "successes": said.count(True),
            "failures": said.count(False),
            "skipped": said.count(None),
        }

    def after(self) -> int | None:
        """The number that is asked once this one is answered, as far as it is new."""
        return self._next(self.now)

    def _next(self, but: int | None = None) -> int | None:
        return next((n for n in self.asked if n not in self.labels.answers and n != but), None)


def agreement(dataset: Dataset, labels: Labels) -> tuple[int, int]:
    """(episodes whose outcome was recorded and told by a person, those of them where both say the same)."""
    told = labels.told()
    pairs = [
        (known, told[e.index])
        for e, known in zip(dataset.episodes, episode_success(dataset), strict=True)
        if known is not None and e.index in told
    ]
    return len(pairs), sum(one == other for one, other in pairs)
