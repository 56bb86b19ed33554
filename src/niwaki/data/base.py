"""What every data set is to the rest of the library: settings that open into splits of samples."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeAlias

from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import TypeVar  # typing's own has no default before Python 3.13

from niwaki.data.findings import Findings
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["DataSettings", "Progress", "Sample", "SampleDataset", "Size", "Split", "Splits", "datasets"]

Sample: TypeAlias = tuple[Tensor, dict[str, Tensor]]
"""Input ``float32 [C, H, W]`` in [0, 1], and one target for each labelled task."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being made, how much is done, and of how much."""


Size: TypeAlias = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]
"""Height and width in pixels, each at least 8."""


class SampleDataset(Dataset[Sample]):
    """A map-style data set of samples: it has a length, and equal indices give equal samples."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...


Split: TypeAlias = SampleDataset | dict[str, SampleDataset]
"""Samples of all tasks together, or by task where every task has inputs of its own."""

S_co = TypeVar("S_co", bound=Split, default=SampleDataset, covariant=True)


@dataclass(frozen=True)
class Splits(Generic[S_co]):
    """An opened data set. Each split is one data set, or one by task where the tasks have inputs of their own.

    Attributes:
        train: Samples to learn from. Where augmentation was asked for they change from epoch to epoch: index
            ``epoch * len(train) + i`` gives sample ``i`` as that epoch sees it, and the data set is `Augmented`, or
            says ``epoch_indexed``.
        val: Samples that pick the epoch. Never the test split.
        test: Samples for the numbers that are reported, or None where the data has none.
        tasks: What the targets are: ready tasks as plain data with ``kind``, in the targets' order.
        notes: What was decided on opening, such as a validation split that was carved.
        classes: Names of the classes, for tasks where people read them.
    """

    train: S_co
    val: S_co
    test: S_co | None
    tasks: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class DataSettings(Settings):
    """Which data, and how it is read. Every registered data set is one of these."""

    @property
    def cache_bytes(self) -> int:
        """Bytes that opening it writes into the user's cache; 0 where it writes none."""
        return 0

    @abstractmethod
    def open(self, *, progress: Progress | None = None) -> Splits[Any]:
        """Return the data's splits.

        Args:
            progress: Told how far long work is.

        Returns:
            The splits.

        Raises:
            DataError: When something is missing or not as the layout says; the message names the file.
        """

    @abstractmethod
    def check(self) -> Findings:
        """Look at everything and return what was found, or the first things wrong."""


datasets: Registry[type[DataSettings]] = Registry("data set")
"""Names that recipes and ``niwaki check-data`` know, with the settings they stand for."""
