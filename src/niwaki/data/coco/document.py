"""A file of annotations: pictures, categories, and what is annotated on each picture."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from niwaki.data.coco.ledger import Ledger
from niwaki.data.findings import Problem
from niwaki.data.inside import lies_inside

__all__ = ["Category", "Document", "Listed", "read_document"]

_FORM = "JSON of COCO's form: {images: [...], annotations: [...], categories: [...]}"


class Listed(NamedTuple):
    """A picture as a file of annotations lists it.

    Attributes:
        file: Its path inside the folder of its split.
        size: Height and width in pixels.
    """

    file: str
    size: tuple[int, int]


class Category(NamedTuple):
    """A category as a file of annotations lists it.

    Attributes:
        id: Its number in the file.
        name: Its name.
        keypoints: Names of the keypoints that are annotated of it; none for most.
    """

    id: int
    name: str
    keypoints: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A file of annotations, its lists sorted out.

    Attributes:
        path: The file.
        pictures: Id to picture, ascending.
        categories: The categories, ascending by id.
        annotations: Id of a picture to what is annotated on it, in the file's order.
    """

    path: Path
    pictures: dict[int, Listed]
    categories: tuple[Category, ...]
    annotations: dict[int, list[dict[str, Any]]]


def read_document(path: Path, ledger: Ledger) -> Document | Problem:
    """Read a file of annotations; what can't be used is taken down and left out.

    Args:
        path: The JSON file.
        ledger: Where faults go.

    Returns:
        The file's contents, or why none of it can be used.
    """
    try:
        given = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Problem(str(path), "no such file", f"a file of annotations, {_FORM}")
    except (OSError, ValueError, RecursionError) as error:
        return Problem(str(path), f"a file that can't be read ({error})", _FORM)
    lists = [given.get(name) for name in ("images", "annotations", "categories")] if isinstance(given, dict) else []
    if not lists or not all(isinstance(each, list) and all(isinstance(one, dict) for one in each) for each in lists):
        return Problem(str(path), "no such lists", _FORM)
    images, annotations, categories = lists
    named = tuple(_categories(path, categories or (), ledger))
    pictures = dict(sorted(_pictures(path, images or (), ledger).items()))
    if not named or not pictures:
        return Problem(str(path), f"{len(pictures)} pictures and {len(named)} categories", "at least one of each")
    return Document(path, pictures, named, _sorted_out(path, annotations or (), set(pictures), ledger))


def _categories(path: Path, given: Sequence[dict[str, Any]], ledger: Ledger) -> Iterator[Category]:
    seen: set[int] = set()
    for each in (one for one in given if not _is_id(one.get("id"))):
        found = f"category {each.get('name')!r} with id {each.get('id')!r}"
        ledger.wrong("categories without a whole number as id", path, found, "an id for each category")
    for each in sorted((one for one in given if _is_id(one.get("id"))), key=lambda one: int(one["id"])):
        if each["id"] in seen:
            found = f"category {each['id']} twice"
            ledger.wrong("categories with an id of another", path, found, "an id for each category")
            continue
        seen.add(each["id"])
        names = each.get("keypoints")
        keypoints = tuple(map(str, names)) if isinstance(names, list) else ()
        yield Category(each["id"], str(each.get("name", each["id"])), keypoints)


def _pictures(path: Path, given: Sequence[dict[str, Any]], ledger: Ledger) -> dict[int, Listed]:
    pictures: dict[int, Listed] = {}
    for place, each in enumerate(given):
        found, expected = _picture_fault(each, place) or ("", "")
        if found:
            ledger.wrong("pictures without id, name or size", path, found, expected)
        elif each["id"] in pictures:
            found = f"picture {each['id']} twice: {pictures[each['id']].file} and {each['file_name']}"
            ledger.wrong("pictures with an id of another", path, found, "an id for each picture")
        else:
            pictures[each["id"]] = Listed(each["file_name"], (each["height"], each["width"]))
    return pictures


def _picture_fault(given: dict[str, Any], place: int) -> tuple[str, str] | None:
    if not _is_id(given.get("id")):
        return f"images[{place}] without a whole number as id", "an id for each picture"
    name = given.get("file_name")
    if not isinstance(name, str) or not lies_inside(name):
        return f"picture {given['id']} with file_name {name!r}", "a path inside the folder of its split"
    if not all(_is_id(given.get(side)) and given[side] > 0 for side in ("height", "width")):
        return f"picture {given['id']} of {given.get('height')!r}x{given.get('width')!r}", "height and width in pixels"
    return None


def _sorted_out(
    path: Path, given: Sequence[dict[str, Any]], pictures: set[int], ledger: Ledger
) -> dict[int, list[dict[str, Any]]]:
    """Return the annotations by picture, without those that have the id of another or belong to no picture."""
    by_picture: dict[int, list[dict[str, Any]]] = {}
    seen: set[Any] = set()
    for place, each in enumerate(given):
        own = each.get("id")
        if own is not None and (not _is_id(own) or own in seen):
            found = f"annotation {own!r}" + (" twice" if _is_id(own) else f" at {place}")
            ledger.wrong("annotations with an id of another", path, found, "an id for each annotation")
            continue
        seen.add(own)
        picture = each.get("image_id")
        if not _is_id(picture) or picture not in pictures:
            found = f"annotation {own if own is not None else place} on picture {picture!r}"
            ledger.wrong("annotations on no known picture", path, found, "the id of a picture in images")
        else:
            by_picture.setdefault(int(picture), []).append(each)
    return by_picture


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
