"""What a look at COCO brings up: pixels of some pictures, objects and keypoints of all."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from niwaki.data.coco.heat import Drawn, Heat
from niwaki.data.coco.points import centres, keypoints
from niwaki.data.coco.samples import Annotated, AnnotatedPictures, Vocabulary, value_problems
from niwaki.data.coco.splits import OnDisk
from niwaki.data.findings import Findings, SplitFindings, first_problems
from niwaki.data.spread import spread
from niwaki.data.tally import Tally

__all__ = ["look"]

_LOOK_AT = 128


def look(found: OnDisk, tasks: Sequence[Mapping[str, Any]], heats: Sequence[Heat]) -> Findings:
    """Return what the splits hold, or what is wrong with the pictures that are read; those keep their own size.

    Args:
        found: The splits.
        tasks: Ready tasks as plain data.
        heats: What heat is drawn.

    Returns:
        The findings.
    """
    some = (pictures[place] for pictures in found.pictures.values() for place in spread(len(pictures), _LOOK_AT))
    problems = first_problems(problem for each in some for problem in value_problems(each))
    if problems:
        return Findings(problems=problems)
    plain = [each._replace(stride=1) for each in heats]
    splits = tuple(_look(split, pictures, found.words, tasks, plain) for split, pictures in found.pictures.items())
    return Findings(splits=splits, notes=found.notes())


def _look(
    split: str,
    pictures: Sequence[Annotated],
    words: Vocabulary,
    tasks: Sequence[Mapping[str, Any]],
    heats: Sequence[Heat],
) -> SplitFindings:
    samples = Drawn(AnnotatedPictures(pictures, words, None), heats)
    tally = Tally(tasks, {"segmentation": words.segmentation})
    for place in spread(len(pictures), _LOOK_AT):
        tally.add(samples[place])
    seen = tally.findings(split, len(pictures))
    return replace(seen, histograms={**seen.histograms, **_counted(pictures, words, {each.task for each in heats})})


def _counted(pictures: Iterable[Annotated], words: Vocabulary, tasks: set[str]) -> dict[str, dict[str, float]]:
    """Return the share of each category among the objects, and of each kind among the keypoints."""
    counts = {task: Counter[int]() for task in ("centres", "keypoints") if task in tasks}
    for each in pictures:
        if "centres" in counts:
            counts["centres"].update(centres(each.objects or ()).maps)
        if "keypoints" in counts:
            counts["keypoints"].update(keypoints(each.people or (), words.twins).maps)
    return {
        task: {name: found[place] / max(found.total(), 1) for place, name in enumerate(getattr(words, task))}
        for task, found in counts.items()
    }
