"""The settings of `rooms`: how many, how large, which world."""

from typing import Any, Literal

from pydantic import Field

from niwaki.data.augment import Augment, Augmented
from niwaki.data.base import DataSettings, Progress, SampleDataset, Size, Splits, datasets
from niwaki.data.findings import Findings, SplitFindings
from niwaki.data.kinds import kinds_of
from niwaki.data.rooms.dataset import Rooms
from niwaki.data.rooms.parts import CLASSES
from niwaki.data.rooms.store import PLANES
from niwaki.data.tally import Tally

__all__ = ["ROOMS_TASKS", "RoomsData"]

ROOMS_TASKS: tuple[dict[str, Any], ...] = (
    {"kind": "segmentation", "classes": len(CLASSES)},
    {"kind": "depth"},
    {"kind": "normals"},
)
# Far apart, so that no length makes two splits share a room.
_FIRST = {"train": 0, "val": 1 << 40, "test": 1 << 41}
_LOOK_AT = 48


@datasets.register("rooms")
class RoomsData(DataSettings):
    """Indoor scenes drawn on the spot, with exact 13-class segmentation, depth in metres and unit normals.

    The same settings give the same samples on every machine. Depth is measured along the optical axis; normals are in
    the camera's frame (x right, y down, z forward) and face the camera.

    Attributes:
        size: Height and width in pixels, each at least 8.
        train: Rooms to learn from.
        val: Rooms that pick the epoch.
        test: Rooms for the reported numbers.
        seed: Names a world of rooms. The splits of one world share no room.
        cache: Whether drawn rooms are kept in the user's cache folder (``NIWAKI_CACHE``, ``XDG_CACHE_HOME``).
        augment: Random changes of training samples; None for none.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> RoomsData(train=8, val=2, test=2, size=(24, 32), cache=False).open().train[0][0].shape
        torch.Size([3, 24, 32])
    """

    kind: Literal["rooms"] = "rooms"
    size: Size = (96, 128)
    train: int = Field(default=1200, ge=1)
    val: int = Field(default=200, ge=1)
    test: int = Field(default=200, ge=0)
    seed: int = Field(default=0, ge=0)
    cache: bool = True
    augment: Augment | None = None

    @property
    def cache_bytes(self) -> int:
        """Bytes that the cache takes; 0 without one."""
        rooms = self.train + self.val + self.test
        return rooms * PLANES * self.size[0] * self.size[1] if self.cache else 0

    def open(self, *, progress: Progress | None = None) -> Splits:
        """Return the splits; with a cache, rooms not drawn before are drawn now.

        Args:
            progress: Told how many rooms are drawn.

        Returns:
            The splits.

        Raises:
            DataError: When the cache can't be written.
        """
        train = self._split("train", progress)
        return Splits(
            train=train if self.augment is None else Augmented(train, self.augment, self.seed, kinds_of(ROOMS_TASKS)),
            val=self._split("val", progress),
            test=self._split("test", progress) if self.test else None,
            tasks=ROOMS_TASKS,
            classes={"segmentation": CLASSES},
        )

    def check(self) -> Findings:
        """Draw the first rooms of each split and return what they hold."""
        return Findings(splits=tuple(self._look(split) for split in _FIRST if self._count(split)))

    def _count(self, split: str) -> int:
        return int(getattr(self, split))

    def _split(self, split: str, progress: Progress | None) -> SampleDataset:
        first, count = _FIRST[split], self._count(split)
        report = None if progress is None else _Told(progress, f"rooms ({split})", count)
        return Rooms(
            seed=self.seed, indices=range(first, first + count), size=self.size, cache=self.cache, report=report
        )

    def _look(self, split: str) -> SplitFindings:
        count = self._count(split)
        first, looked_at = _FIRST[split], min(count, _LOOK_AT)
        rooms = Rooms(seed=self.seed, indices=range(first, first + looked_at), size=self.size, cache=False)
        tally = Tally(ROOMS_TASKS, {"segmentation": CLASSES})
        for index in range(looked_at):
            tally.add(rooms[index])
        return tally.findings(split, count)


class _Told:
    """Passes the number of rooms drawn on to whoever shows progress."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress, self._what, self._total = progress, what, total

    def __call__(self, done: int) -> None:
        self._progress(self._what, done, self._total)
