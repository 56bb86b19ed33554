"""The base of every record: frozen plain data that reads back from its own JSON."""

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from niwaki.errors import FileError

__all__ = ["RecordBase"]

_NUMBERS = re.compile(r"\[\s+-?\d[-+.\deE,\s]*\]")


class RecordBase(BaseModel):
    """Frozen plain data. NaN and infinity are kept: a failed measurement is a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def to_json(self, indent: int | None = None) -> str:
        """Return the record as JSON.

        Args:
            indent: Spaces of indentation, or None for one line; a list of numbers stays on its line.

        Returns:
            JSON text; `from_json` reads it back to an equal record.
        """
        text = self.model_dump_json(indent=indent)
        return text if indent is None else _NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]), text)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record from its JSON.

        Args:
            text: What `to_json` wrote, in this or an older version of Niwaki.

        Returns:
            The record.

        Raises:
            FileError: When the text is not such a record; the message names the first place that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the text"
            raise FileError(f"this is no {cls.__name__}: {place}: {first['msg']}") from None
