"""Average precision of peaks against COCO's own evaluation, with nearness in place of overlap."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.tasks import Evaluation, Heatmap
from niwaki.tasks.precision import average_precision

eval_of = pytest.importorskip("pycocotools.cocoeval")
coco_of = pytest.importorskip("pycocotools.coco")

RADIUS = 1


def made(seed: int, images: int = 3, maps: int = 3, side: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and heat; peaks lie in cells that are 4 apart, answers on or near some of them."""
    draw = torch.Generator().manual_seed(seed)
    target = torch.zeros(images, maps, side, side)
    pred = torch.rand(images, maps, side, side, generator=draw) * 0.01 - 9
    for image in range(images):
        for kind in range(maps - 1):  # the last map never has a peak
            for row in range(1, side, 4):
                for column in range(1, side, 4):
                    there, said, off = torch.rand(3, generator=draw).tolist()
                    if there < 0.4:
                        target[image, kind, row, column] = 1.0
                    if said < 0.5:
                        pred[image, kind, row + int(off * 3) - 1, column + int(off * 7) % 3 - 1] = 10 * (said - there)
    target[0, 0, :4, 8:] = torch.where(target[0, 0, :4, 8:] == 1.0, 1.0, torch.nan)
    return pred, target


def answers(heat: torch.Tensor, truth: torch.Tensor) -> list[tuple[float, int, int]]:
    """List the local maxima of one map, by a loop."""
    known = ~truth.isnan()
    found = []
    for y in range(heat.shape[0]):
        for x in range(heat.shape[1]):
            rows, columns = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
            around = heat[rows, columns][known[rows, columns]]
            if known[y, x] and heat[y, x] == around.max():
                found.append((float(heat[y, x]), y, x))
    return found


def by_coco(pred: torch.Tensor, target: torch.Tensor) -> float:
    """Let pycocotools match and integrate; only the similarity is ours, .5 and more within the radius."""
    places: dict[str, dict[int, tuple[int, int]]] = {"truth": {}, "answer": {}}
    truths: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    box = {"area": 1.0, "bbox": [0, 0, 1, 1], "iscrowd": 0}
    for image, kind in np.ndindex(*pred.shape[:2]):
        own = {"image_id": image + 1, "category_id": kind + 1}
        for row, column in (target[image, kind] == 1.0).nonzero().tolist():
            places["truth"][len(truths) + 1] = (row, column)
            truths.append({"id": len(truths) + 1, **own, **box})
        for score, row, column in answers(pred[image, kind], target[image, kind]):
            said.append({**own, "bbox": [0, 0, 1, 1], "score": score})
            places["answer"][len(said)] = (row, column)

    class Near(eval_of.COCOeval):  # type: ignore[name-defined]  # an untyped, optional package
        def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 - its own name
            right, given = self._gts[imgId, catId], self._dts[imgId, catId]
            given = [given[i] for i in np.argsort([-each["score"] for each in given], kind="mergesort")]
            table = np.zeros((len(given), len(right)))
            for i, answer in enumerate(given):
                for j, truth in enumerate(right):
                    dy, dx = np.subtract(places["answer"][answer["id"]], places["truth"][truth["id"]])
                    near = max(abs(dy), abs(dx)) <= RADIUS
                    table[i, j] = 0.5 + 0.5 / (1 + dy * dy + dx * dx) if near else 0.0
            return table if table.size else []

    truth = coco_of.COCO()
    images = [{"id": number + 1} for number in range(len(pred))]
    categories = [{"id": number + 1} for number in range(pred.shape[1])]
    truth.dataset = {"info": {}, "images": images, "categories": categories, "annotations": truths}
    truth.createIndex()
    evaluation = Near(truth, truth.loadRes(said), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e9]], ["all"]
    evaluation.params.maxDets = [1000]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"]
    return float(precision[precision > -1].mean())


@given(st.integers(0, 1000))
def test_it_is_cocos_average_precision(seed: int) -> None:
    pred, target = made(seed)
    evaluation = Evaluation([Heatmap(radius=RADIUS, primary="ap")])
    for image in range(len(pred)):
        evaluation.update({"heatmap": pred[image : image + 1]}, {"heatmap": target[image : image + 1]})
    assert evaluation.compute()["heatmap"]["ap"] == pytest.approx(100 * by_coco(pred, target), abs=1e-4)


def test_no_answer_at_all_has_no_precision() -> None:
    assert average_precision(np.zeros(0), np.zeros(0, np.bool_), 3) == 0.0


def test_the_hundred_surest_answers_of_a_sample_count() -> None:
    target = torch.zeros(1, 2, 40, 40)
    target[0, 1, 0, 0] = 1.0
    pred = torch.full((1, 2, 40, 40), -9.0)
    pred[0, 0, ::2, ::2] = 5.0  # 400 answers that are wrong and sure
    pred[0, 1, 0, 0] = 0.0
    evaluation = Evaluation([Heatmap()])
    evaluation.update({"heatmap": pred}, {"heatmap": target})
    assert evaluation.compute()["heatmap"]["ap"] == 0.0
