"""One cut of a run: when it was made, what it left, and the file that holds the model right after it."""

from typing import ClassVar

from niwaki.records.base import RecordBase

__all__ = ["CutRecord"]

_UNITS = ("channels", "params", "macs", "bytes")


class CutRecord(RecordBase):
    """A step of pruning.

    Attributes:
        columns: Headings of a table of cuts.
        number: Which cut, from 1.
        step: Optimizer steps before it.
        params: Parameters that are left.
        reached: What is left as fractions of the model before the first cut of its method, such as
            ``{"macs": 0.75}``.
        file: The model right after the cut, inside the run directory; `niwaki.load` reads it. Empty where none is kept.

    Examples:
        >>> CutRecord(number=1, step=1200, params=34_000, reached={"macs": 0.5}).row
        ('1', '1,200', '34,000', '', '', '50.0%', '')
    """

    columns: ClassVar[tuple[str, ...]] = ("cut", "after step", "parameters", *(f"{unit} left" for unit in _UNITS))

    number: int
    step: int
    params: int
    reached: dict[str, float] = {}
    file: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """Cells of a table of cuts, as text; what was not measured is empty."""
        shares = (f"{self.reached[unit]:.1%}" if unit in self.reached else "" for unit in _UNITS)
        return (str(self.number), f"{self.step:,}", f"{self.params:,}", *shares)
