"""What all data made of frames has in common: how it is opened, checked and divided."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, model_validator

from niwaki.data.augment import Augment, Augmented
from niwaki.data.base import DataSettings, Progress, Size, Splits
from niwaki.data.carve import carve
from niwaki.data.findings import Findings, Problem, SplitFindings, first_problems
from niwaki.data.frames.dataset import Frames
from niwaki.data.frames.layout import Layout, Listing
from niwaki.data.frames.plane import Frame, Plane
from niwaki.data.frames.problems import header_problems, value_problems
from niwaki.data.spread import spread
from niwaki.data.tally import Tally
from niwaki.errors import Problem as Wrong
from niwaki.errors import SettingError, did_you_mean

__all__ = ["FrameData"]

_HEADERS_READ = 4096
_FRAMES_READ = 32


class FrameData(DataSettings):
    """Data whose samples are frames of several files each: a picture, and a file for each task.

    Attributes:
        root: The data set's folder.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        tasks: Names of the tasks to read, where not all are wanted; the files of the others may be missing.
        val: How much of the training split becomes the validation split, where the data has none of its own: a fraction
            in (0, 1) or a number of frames.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.
    """

    root: Path
    size: Size | None = None
    tasks: tuple[str, ...] | None = Field(default=None, min_length=1)
    val: int | float = Field(default=0.1, gt=0)
    augment: Augment | None = Augment()
    seed: int = Field(default=0, ge=0)

    @abstractmethod
    def layout(self) -> Layout:
        """Return what the frames hold, whichever tasks are wanted."""

    @abstractmethod
    def listing(self, planes: tuple[Plane, ...]) -> Listing:
        """Return the frames on disk, their files in the order of the planes."""

    def open(self, *, progress: Progress | None = None) -> Splits:
        """Check the files' headers and some frames' values, and return the splits.

        Args:
            progress: Not needed here: opening is quick.

        Returns:
            The splits.

        Raises:
            DataError: With the first things wrong, each with its file.
        """
        del progress
        layout, listing = self._found()
        problems = self._problems(layout, listing, headers=_HEADERS_READ, values=_FRAMES_READ)
        Findings(problems=first_problems(problems)).raise_if_wrong()
        learn, pick, note = self._divided(listing)
        train = self._frames(layout, learn)
        return Splits(
            train=train if self.augment is None else Augmented(train, self.augment, self.seed, layout.changes),
            val=self._frames(layout, pick),
            test=self._frames(layout, listing.splits["test"]) if "test" in listing.splits else None,
            tasks=layout.tasks,
            notes=(note, *listing.notes, *layout.notes),
            classes=layout.classes,
        )

    def check(self) -> Findings:
        """Read every frame and return what was found, or the first things wrong."""
        layout, listing = self._found()
        problems = first_problems(self._problems(layout, listing))
        if problems:
            return Findings(problems=problems)
        splits = tuple(self._look(layout, split, frames) for split, frames in listing.splits.items())
        return Findings(splits=splits, notes=(*listing.notes, *layout.notes))

    @model_validator(mode="after")
    def _knows_its_tasks(self) -> "FrameData":
        known = self.layout().names
        for name in self.tasks or ():
            if name not in known:
                message = f"no task {name!r}; the data has {', '.join(known)}{did_you_mean(name, known)}"
                raise SettingError(message, (Wrong(("tasks",), message, name),))
        return self

    def _found(self) -> tuple[Layout, Listing]:
        layout = self.layout() if self.tasks is None else self.layout().only(self.tasks)
        return layout, self.listing(layout.planes)

    def _problems(
        self, layout: Layout, listing: Listing, *, headers: int | None = None, values: int | None = None
    ) -> Iterator[Problem]:
        """Look at the list, then at that many frames' headers of each split, then at that many frames' values."""
        sound = not listing.problems
        yield from listing.problems
        for frames in listing.splits.values() if sound else ():
            for place in spread(len(frames), headers):
                for problem in header_problems(self.root, layout.planes, frames[place]):
                    sound = False
                    yield problem
        for frames in listing.splits.values() if sound else ():
            for place in spread(len(frames), values):
                yield from value_problems(self.root, layout.planes, frames[place])

    def _divided(self, listing: Listing) -> tuple[list[Frame], list[Frame], str]:
        """Return the frames to learn from, those that pick the epoch, and a note about the latter."""
        train = listing.splits["train"]
        if "val" in listing.splits:
            return train, listing.splits["val"], f"validation: the {len(listing.splits['val'])} frames of val"
        learn, pick = carve(len(train), self.val)
        note = f"validation: {len(pick)} of {len(train)} frames of train, in evenly spread runs"
        return [train[index] for index in learn], [train[index] for index in pick], note

    def _frames(self, layout: Layout, frames: list[Frame]) -> Frames:
        return Frames(self.root, layout.planes, frames, size=self.size)

    def _look(self, layout: Layout, split: str, frames: list[Frame]) -> SplitFindings:
        samples = Frames(self.root, layout.planes, frames)
        tally = Tally(layout.tasks, layout.classes)
        for index in range(len(samples)):
            tally.add(samples[index])
        return tally.findings(split, len(samples))
