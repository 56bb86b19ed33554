"""Being written."""

from typing import Any
from niwaki.records.base import RecordBase


class DeltaRecord(RecordBase):
    value: float
    convention: str
    baseline_kind: str


def delta(*args: Any, **kwargs: Any) -> DeltaRecord:
    raise NotImplementedError
