"""The cuts of a finished run: what each left, and the model of one of them to go on with."""

import shutil
from pathlib import Path

from niwaki.errors import FileError, SettingError
from niwaki.files import RUN_FILES, read_manifest
from niwaki.records import CutRecord, Record

__all__ = ["pick_cut", "read_cuts"]


def read_cuts(folder: Path | str) -> tuple[CutRecord, ...]:
    """Return the cuts of a run, in order.

    Args:
        folder: A run directory with `record.json`.

    Returns:
        One row for each cut.

    Raises:
        FileError: When the run has no record yet, or it can't be read.
    """
    path = Path(folder) / RUN_FILES["record"]
    if not path.exists():
        raise FileError(f"{folder} holds no finished run: {path.name} is missing; run or resume it first")
    return Record.from_json(path.read_bytes()).cuts


def pick_cut(folder: Path | str, number: int, out: Path | str) -> CutRecord:
    """Take the model that a cut left, as it was before the training went on.

    Args:
        folder: A run directory with `record.json`.
        number: Which cut, from 1.
        out: The file to write; `niwaki.load` reads it with the dense network that the run began with.

    Returns:
        What the cut left.

    Raises:
        SettingError: When the run has no such cut.
        FileError: When the model was not kept, is damaged, or can't be written.
    """
    cuts = {cut.number: cut for cut in read_cuts(folder)}
    if number not in cuts:
        known = f"1 to {len(cuts)}" if cuts else "none"
        raise SettingError(f"the run in {folder} has no cut {number}; its cuts: {known}")
    source, target = Path(folder) / cuts[number].file, Path(out)
    if not source.is_file():
        raise FileError(f"the model of cut {number} is not kept in {folder}; take a later cut, or run it again")
    read_manifest(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise FileError(f"can't write {target}: {error.strerror}; choose another place") from None
    return cuts[number]
