"""One split on disk: its files of annotations brought together, picture by picture."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from niwaki.data.coco.document import Document, Listed, read_document
from niwaki.data.coco.ledger import Ledger
from niwaki.data.coco.objects import Object, Source, read_object
from niwaki.data.coco.panoptic import read_segments
from niwaki.data.coco.people import Person, read_person, twins
from niwaki.data.coco.samples import Annotated, Vocabulary
from niwaki.data.coco.semantic import Regions, Segments
from niwaki.data.findings import Problem

__all__ = ["Labels", "SplitOnDisk", "read_split"]

Labels: TypeAlias = Literal["instances", "stuff", "panoptic"]
"""What segmentation is read from, as the names of files begin."""

_BACKGROUND = "background"


class SplitOnDisk(NamedTuple):
    """A split that was read.

    Attributes:
        pictures: Its pictures, ascending by id.
        words: What is told apart on them.
    """

    pictures: tuple[Annotated, ...]
    words: Vocabulary


def read_split(root: Path, name: str, tasks: Collection[str], labels: Labels, ledger: Ledger) -> SplitOnDisk | Problem:
    """Read the files of annotations of a split, and look whether its pictures are there.

    Args:
        root: The data's folder.
        name: The split, such as ``train2017``.
        tasks: Names of the tasks that are wanted.
        labels: What segmentation is read from.
        ledger: Where faults and oddities go.

    Returns:
        The split, or why none of it can be used.
    """
    files = {"segmentation": labels, "centres": "instances", "keypoints": "person_keypoints"}
    documents: dict[str, Document] = {}
    for file in dict.fromkeys(files[task] for task in files if task in tasks):
        found = read_document(root / "annotations" / f"{file}_{name}.json", ledger)
        if isinstance(found, Problem):
            return found
        documents[file] = found
    words = _words({task: documents[file] for task, file in files.items() if task in tasks}, labels)
    if isinstance(words, Problem):
        return words
    listed = _listed(documents.values(), ledger)
    places = _places(root, name, listed, ledger)
    sizes = {number: listed[number].size for number in places}
    objects = {file: _objects(documents[file], sizes, ledger) for file in documents if file in ("instances", "stuff")}
    regions: Mapping[int, Regions | Segments] = {}
    if "segmentation" in tasks and labels == "panoptic":
        regions = read_segments(root, name, documents[labels], ledger)
    elif "segmentation" in tasks:
        regions = _regions(objects[labels], background=labels == "instances")
    wanted = objects["instances"] if "centres" in tasks else {}
    people = _people(documents["person_keypoints"], sizes, ledger) if "keypoints" in tasks else {}
    pictures = tuple(
        Annotated(file, sizes[number], regions.get(number), wanted.get(number), people.get(number))
        for number, file in places.items()
    )
    return SplitOnDisk(pictures, words)


def _words(documents: Mapping[str, Document], labels: Labels) -> Vocabulary | Problem:
    names = {task: tuple(each.name for each in document.categories) for task, document in documents.items()}
    if "segmentation" in names and labels == "instances":
        names["segmentation"] = (_BACKGROUND, *names["segmentation"])
    if "keypoints" not in documents:
        return Vocabulary(names.get("segmentation", ()), names.get("centres", ()))
    bodies = [each for each in documents["keypoints"].categories if each.keypoints]
    if len(bodies) != 1:
        path = str(documents["keypoints"].path)
        return Problem(path, f"{len(bodies)} categories with keypoints", "one, such as person, with their names")
    points = bodies[0].keypoints
    return Vocabulary(names.get("segmentation", ()), names.get("centres", ()), points, twins(points))


def _listed(documents: Iterable[Document], ledger: Ledger) -> dict[int, Listed]:
    """Return the pictures of all files, ascending by id, without those that two files describe differently."""
    listed: dict[int, Listed] = {}
    differ: set[int] = set()
    for document in documents:
        for number, picture in document.pictures.items():
            if listed.setdefault(number, picture) != picture and number not in differ:
                differ.add(number)
                found = f"picture {number} as {_said(picture)}, elsewhere {_said(listed[number])}"
                sort, expected = "pictures that two files describe differently", "the same name and size in every file"
                ledger.wrong(sort, document.path, found, expected)
    return {number: listed[number] for number in sorted(set(listed) - differ)}


def _said(picture: Listed) -> str:
    return f"{picture.file} of {picture.size[0]}x{picture.size[1]}"


def _places(root: Path, name: str, listed: Mapping[int, Listed], ledger: Ledger) -> dict[int, Path]:
    """Return the file of each picture that is there."""
    folders = (root / name, root / "images" / name, root)
    places: dict[int, Path] = {}
    for number, picture in listed.items():
        file = next((folder / picture.file for folder in folders if (folder / picture.file).is_file()), None)
        if file is None:
            expected = f"picture {number}, in {name} or images/{name}"
            ledger.wrong("pictures without a file", root / name / picture.file, "no such file", expected)
        else:
            places[number] = file
    return places


def _source(document: Document, ledger: Ledger) -> Source:
    return Source(document.path, {each.id: place for place, each in enumerate(document.categories)}, ledger)


def _objects(document: Document, sizes: Mapping[int, tuple[int, int]], ledger: Ledger) -> dict[int, tuple[Object, ...]]:
    source = _source(document, ledger)
    found: dict[int, tuple[Object, ...]] = {}
    for number in (each for each in document.pictures if each in sizes):
        read = (read_object(each, sizes[number], source) for each in document.annotations.get(number, ()))
        found[number] = tuple(each for each in read if each is not None)
    empty = sum(not each for each in found.values())
    ledger.odd(f"pictures without any object in {document.path.name}", empty)
    return found


def _regions(objects: Mapping[int, tuple[Object, ...]], *, background: bool) -> dict[int, Regions]:
    """Return what is drawn; a picture without any object has no label at all, unless that is the background's."""
    return {number: Regions(each, background) for number, each in objects.items() if each or background}


def _people(document: Document, sizes: Mapping[int, tuple[int, int]], ledger: Ledger) -> dict[int, tuple[Person, ...]]:
    source = _source(document, ledger)
    (names,) = (len(each.keypoints) for each in document.categories if each.keypoints)
    others = [each.id for each in document.categories if not each.keypoints]  # a list: what is no id may have no hash
    found: dict[int, tuple[Person, ...]] = {}
    for number in (each for each in document.pictures if each in sizes):
        given = (each for each in document.annotations.get(number, ()) if each.get("category_id") not in others)
        read = (read_person(each, names, sizes[number], source) for each in given)
        found[number] = tuple(each for each in read if each is not None)
    ledger.odd("pictures without people", sum(not each for each in found.values()))
    return found
