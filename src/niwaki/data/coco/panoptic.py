"""Panoptic annotations: of each picture a picture of segment ids, and what each segment is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niwaki.data.coco.document import Document
from niwaki.data.coco.ledger import Ledger
from niwaki.data.coco.semantic import Segments
from niwaki.data.frames import Fault
from niwaki.data.inside import lies_inside

__all__ = ["read_segments"]


def read_segments(root: Path, name: str, document: Document, ledger: Ledger) -> dict[int, Segments]:
    """Return the segments of each picture that has a panoptic one.

    The panoptic pictures of split ``name`` lie in ``annotations/panoptic_<name>`` or ``panoptic_<name>``.

    Args:
        root: The data's folder.
        name: The split.
        document: Its panoptic file of annotations.
        ledger: Where faults and oddities go.

    Returns:
        Id of a picture to its segments.
    """
    folders = (root / "annotations" / f"panoptic_{name}", root / f"panoptic_{name}")
    folder = next((each for each in folders if each.is_dir()), folders[0])
    places = {each.id: place for place, each in enumerate(document.categories)}
    found: dict[int, Segments] = {}
    for number, annotations in document.annotations.items():
        fault = _fault(annotations, places)
        if fault is not None:
            expected = f"{fault.expected}, for picture {number}"
            ledger.wrong("panoptic annotations that can't be used", document.path, fault.found, expected)
            continue
        (each,) = annotations
        file = folder / each["file_name"]
        if not file.is_file():
            ledger.wrong("panoptic pictures without a file", file, "no such file", f"the segments of picture {number}")
            continue
        found[number] = Segments(file, {one["id"]: places[one["category_id"]] for one in each["segments_info"]})
    ledger.odd("pictures without a panoptic one, unlabelled", len(set(document.pictures) - set(found)))
    return found


def _fault(annotations: list[dict[str, Any]], places: Mapping[int, int]) -> Fault | None:
    if len(annotations) != 1:
        return Fault(f"{len(annotations)} annotations", "one annotation")
    name, segments = annotations[0].get("file_name"), annotations[0].get("segments_info")
    if not isinstance(name, str) or not isinstance(segments, list):
        return Fault(f"file_name {name!r} and {type(segments).__name__} as segments_info", "a name and a list")
    if not lies_inside(name):
        return Fault(f"file_name {name!r}", "a path inside the folder of the panoptic pictures")
    for each in segments:
        whole = isinstance(each, dict) and all(isinstance(each.get(key), int) for key in ("id", "category_id"))
        if not whole or each["category_id"] not in places:
            return Fault(f"the segment {each!r}", "an id, and the category_id of a category in categories")
    return None
