"""What the classes are called, and which belong to which superclass."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from niwaki.data.cifar.records import COARSE, FINE, Labels
from niwaki.data.findings import Problem

__all__ = ["STANDARD", "Tree", "name_problems", "read_tree"]

STANDARD = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""CIFAR-100's superclasses in order, and their classes; fine labels number all classes in alphabetical order."""

_FILES = {"coarse_label_names.txt": COARSE, "fine_label_names.txt": FINE}


@dataclass(frozen=True)
class Tree:
    """The superclasses of a data set and what is in them.

    Attributes:
        members: Superclass to its fine labels, both ascending.
        coarse: Names of the superclasses, by label; each can name a task.
        fine: Names of the classes, by label.
        origin: Where the names come from.
    """

    members: dict[int, tuple[int, ...]]
    coarse: tuple[str, ...]
    fine: tuple[str, ...]
    origin: str


def read_tree(root: Path, labels: Labels) -> Tree:
    """Return the superclasses of a file's records.

    Args:
        root: The data set's folder.
        labels: The training labels, checked.

    Returns:
        The tree, with names out of the folder's own files where it has both, CIFAR-100's where the labels agree with
        them, and numbers elsewhere.
    """
    home = dict(zip(labels.fine.tolist(), labels.coarse.tolist(), strict=True))
    members = {
        superclass: tuple(sorted(fine for fine, coarse in home.items() if coarse == superclass))
        for superclass in sorted(set(home.values()))
    }
    written = [_lines(root / name) for name in _FILES]
    if all(written):
        fine = tuple(name.rpartition("/")[2] for name in written[1])  # of SUPERCLASS/CLASS the class
        return Tree(members, _as_task_names(written[0]), fine, "those of the files beside train.bin")
    if _is_standard(home):
        return Tree(members, tuple(STANDARD), _standard_fine(), "CIFAR-100's own")
    coarse, fine = _numbered("coarse", COARSE), _numbered("fine", FINE)
    return Tree(members, coarse, fine, "numbers, since the classes are not CIFAR-100's")


def name_problems(root: Path) -> Iterator[Problem]:
    """Look for files of names that don't name every class once.

    Args:
        root: The data set's folder.

    Yields:
        One problem a fault; files that are not there are none.
    """
    for name, count in _FILES.items():
        path = root / name
        if not path.is_file():
            continue
        lines = _lines(path)
        named = _as_task_names(lines) if count == COARSE else tuple(lines)
        twice = next((each for each in named if named.count(each) > 1), None)
        if len(lines) != count:
            yield Problem(str(path), f"{len(lines)} names", f"{count} names, one a line")
        elif twice is not None:
            yield Problem(str(path), f"the name {twice!r} twice", "a name of its own for each class")


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()] if path.is_file() else []


def _as_task_names(names: list[str]) -> tuple[str, ...]:
    # A task names modules and files, so it holds letters, digits, _ and - alone.
    return tuple(re.sub(r"[^\w-]+", "_", name) for name in names)


def _numbered(what: str, count: int) -> tuple[str, ...]:
    return tuple(f"{what}_{number:02}" for number in range(count))


def _standard_fine() -> tuple[str, ...]:
    return tuple(sorted(name for five in STANDARD.values() for name in five))


def _is_standard(home: Mapping[int, int]) -> bool:
    coarse, fine = tuple(STANDARD), _standard_fine()
    return all(fine[leaf] in STANDARD[coarse[superclass]] for leaf, superclass in home.items())
