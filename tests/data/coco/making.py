"""A small set in COCO's layout, made on the spot: clean, and then as messy as a test wants it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = (
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 44, "name": "bottle", "supercategory": "kitchen"},
)
KEYPOINTS = ("nose", "left_eye", "right_eye")
STUFF = ({"id": 105, "name": "grass"}, {"id": 157, "name": "sky"})
SIZES = ((40, 60), (60, 40), (32, 32), (24, 48))
SPLITS = {"train2017": 8, "val2017": 3}

Json = dict[str, Any]


def square(x: float, y: float, side: float) -> Json:
    """Return a square's box and outline."""
    corners = [x, y, x + side, y, x + side, y + side, x, y + side]
    return {"bbox": [x, y, side, side], "area": side * side, "segmentation": [corners], "iscrowd": 0}


def runs(pixels: np.ndarray[Any, Any]) -> Json:
    """Return a mask's run lengths, by a loop down its columns."""
    counts, last = [0], False
    for value in pixels.T.ravel():
        if bool(value) != last:
            counts.append(0)
            last = bool(value)
        counts[-1] += 1
    return {"size": list(pixels.shape), "counts": counts}


class Made:
    """A set on disk.

    Attributes:
        root: Its folder.
        truth: Split and picture to the pixels, the objects, and the people that were written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pixels: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
        (root / "annotations").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for split, count in SPLITS.items():
            (root / split).mkdir()
            self._split(split, count, rng)

    def _split(self, split: str, count: int, rng: np.random.Generator) -> None:
        images, objects, people = [], [], []
        for number in range(1, count + 1):
            height, width = SIZES[number % len(SIZES)]
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            self.pixels[split, number] = pixels
            Image.fromarray(pixels).save(self.root / split / f"{number:012}.png")
            images.append({"id": number, "file_name": f"{number:012}.png", "height": height, "width": width})
            own = {"image_id": number}
            objects.append({"id": 10 * number, **own, "category_id": 18, **square(2, 4, 8)})
            objects.append({"id": 10 * number + 1, **own, "category_id": 44, **square(14, 10, 6)})
            objects.append({"id": 10 * number + 2, **own, "category_id": 1, **square(8, 16, 8)})
            points = [11, 17, 2, 9, 18, 1, 0, 0, 0]
            people.append({**objects[-1], "keypoints": points, "num_keypoints": 2})
        person = {**CATEGORIES[0], "keypoints": list(KEYPOINTS), "skeleton": []}
        self.write("instances", split, {"images": images, "annotations": objects, "categories": list(CATEGORIES)})
        self.write("person_keypoints", split, {"images": images, "annotations": people, "categories": [person]})

    def add_stuff(self) -> None:
        """Write stuff: the upper half sky, the lower one grass, as run lengths; of the last picture nothing."""
        for split in SPLITS:
            images: list[Json] = self.read("instances", split)["images"]
            annotations: list[Json] = []
            for image in images[:-1]:
                top = np.zeros((image["height"], image["width"]), np.bool_)
                top[: image["height"] // 2] = True
                for category, pixels in ((157, top), (105, ~top)):
                    box = {"bbox": [0, 0, image["width"], image["height"]], "area": int(pixels.sum()), "iscrowd": 0}
                    own = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category}
                    annotations.append({**own, **box, "segmentation": runs(pixels)})
            self.write("stuff", split, {"images": images, "annotations": annotations, "categories": list(STUFF)})

    def add_panoptic(self) -> None:
        """Write panoptic pictures: a dog (segment 1000) on grass (segment 70000), and a row without label."""
        for split in SPLITS:
            images, annotations = self.read("instances", split)["images"], []
            folder = self.root / "annotations" / f"panoptic_{split}"
            folder.mkdir()
            for image in images:
                ids = np.full((image["height"], image["width"]), 70000)
                ids[0], ids[4:12, 2:10] = 0, 1000
                colours = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1).astype(np.uint8)
                Image.fromarray(colours).save(folder / f"{image['id']:012}.png")
                segments = [{"id": 1000, "category_id": 18, "iscrowd": 0}, {"id": 70000, "category_id": 105}]
                own = {"image_id": image["id"], "file_name": f"{image['id']:012}.png"}
                annotations.append({**own, "segments_info": segments})
            categories = [*CATEGORIES, *STUFF]
            self.write("panoptic", split, {"images": images, "annotations": annotations, "categories": categories})

    def read(self, what: str, split: str = "train2017") -> Json:
        """Return a file of annotations."""
        found: Json = json.loads((self.root / "annotations" / f"{what}_{split}.json").read_text())
        return found

    def write(self, what: str, split: str, contents: Any) -> None:
        """Write a file of annotations."""
        (self.root / "annotations" / f"{what}_{split}.json").write_text(json.dumps(contents))

    def edit(self, change: Callable[[Json], Any], what: str = "instances", split: str = "train2017") -> None:
        """Change a file of annotations."""
        contents = self.read(what, split)
        change(contents)
        self.write(what, split, contents)
