from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.data.rooms.slopes import slopes

from niwaki.data import Augment, Augmented, Rooms, Sample, kinds_of
from niwaki.data.augment import mirror, zoom
from niwaki.data.base import SampleDataset
from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.furnish import furnish
from niwaki.data.rooms.render import RoomSample, render_room, render_scene
from niwaki.errors import DataError, SettingError

KINDS = {"segmentation": "segmentation", "depth": "depth", "normals": "normals"}
SIZE = (96, 128)


def as_sample(room: RoomSample) -> Sample:
    targets = {
        "segmentation": torch.from_numpy(room.segmentation.astype(np.int64)),
        "depth": torch.from_numpy(room.depth)[None],
        "normals": torch.from_numpy(room.normals),
    }
    return torch.from_numpy(room.image).float() / 255, targets


def sample_of(index: int) -> tuple[Sample, float]:
    room = render_room(4, index, SIZE)
    return as_sample(room), room.focal


@pytest.mark.parametrize("index", range(3))
def test_normals_of_a_mirrored_room_follow_its_depth(index: int) -> None:
    sample, focal = sample_of(index)
    _, targets = mirror(sample, KINDS)
    share, cosine = slopes(targets["depth"][0].numpy(), targets["normals"].numpy(), focal)
    assert share > 0.5
    assert np.abs(cosine).min() > 1 - 1e-4
    _, cosine = slopes(targets["depth"][0].numpy(), sample[1]["normals"].flip(-1).numpy(), focal)
    assert np.quantile(np.abs(cosine), 0.2) < 0.95


@pytest.mark.parametrize("scale", [1.2, 1.5])
@pytest.mark.parametrize("index", range(3))
def test_a_zoomed_room_is_the_room_through_a_longer_lens_drawn_smaller(index: int, scale: float) -> None:
    scene = furnish(Draws(4, index))
    longer = replace(scene, camera=scene.camera._replace(focal=scene.camera.focal * scale))
    near = render_scene(scene, SIZE, Draws(0)), render_scene(longer, SIZE, Draws(0))
    _, targets = zoom(as_sample(near[0]), scale, (0.5, 0.5), KINDS)
    expected = as_sample(near[1])[1]
    same = (targets["normals"] - expected["normals"]).abs().amax(0) < 1e-3
    assert same.double().mean() > 0.9
    assert (targets["segmentation"] == expected["segmentation"]).double().mean() > 0.9
    error = (targets["depth"] * scale / expected["depth"] - 1).abs()[0][same]
    assert error.median() < 0.01


def test_zooming_divides_depth_and_invents_no_value() -> None:
    sample, _ = sample_of(2)
    image, targets = zoom(sample, 1.5, (0.3, 0.9), KINDS)
    assert image.shape == sample[0].shape
    assert set(targets["segmentation"].unique().tolist()) <= set(sample[1]["segmentation"].unique().tolist())
    assert np.isin(targets["depth"].numpy(), sample[1]["depth"].numpy() / np.float32(1.5)).all()
    known = {tuple(v) for v in sample[1]["normals"].flatten(1).T.tolist()}
    assert {tuple(v) for v in targets["normals"].flatten(1).T.tolist()} <= known


def test_zoom_keeps_picture_and_targets_together() -> None:
    ramp = torch.arange(60, dtype=torch.float32).expand(40, 60)
    sample = (ramp.expand(3, 40, 60) / 100, {"depth": ramp[None].clone()})
    image, targets = zoom(sample, 1.5, (0.5, 0.5), {"depth": "depth"})
    assert (image[0] * 100 - targets["depth"][0] * 1.5).abs().max() <= 0.5 + 1e-4


def test_zero_stays_zero() -> None:
    sample = (torch.zeros(3, 8, 8), {"depth": torch.zeros(1, 8, 8), "normals": torch.zeros(3, 8, 8)})
    changed = mirror(zoom(sample, 1.5, (0, 0), KINDS), KINDS)
    assert all(target.abs().max() == 0 for target in changed[1].values())


def test_the_sample_given_is_not_changed() -> None:
    sample, _ = sample_of(0)
    before = {task: target.clone() for task, target in sample[1].items()}
    mirror(zoom(sample, 1.0, (0, 0), KINDS), KINDS)
    assert all(torch.equal(sample[1][task], before[task]) for task in before)


def test_a_class_label_passes_through() -> None:
    sample = (torch.rand(3, 8, 8), {"what": torch.tensor(3)})
    kinds = {"what": "classification"}
    changed = Augment(scales=(1.5,), mirror=1.0).apply(sample, torch.Generator().manual_seed(0), kinds)
    assert changed[1]["what"].item() == 3


def test_zooming_multiplies_disparity_and_keeps_what_only_moves() -> None:
    near = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    sample = (torch.zeros(3, 8, 8), {"disparity": near, "depth": 1 / near, "edge": near.clone()})
    kinds = {"disparity": "inverse_depth", "depth": "depth", "edge": "map"}
    _, changed = zoom(sample, 1.5, (0.4, 0.8), kinds)
    assert torch.allclose(changed["disparity"] * changed["depth"], torch.ones(1, 8, 8))
    assert torch.isin(changed["disparity"], near * 1.5).all()
    assert torch.isin(changed["edge"], near).all()
    assert torch.equal(mirror(sample, kinds)[1]["edge"], near.flip(-1))


def test_zooming_brings_log_depth_nearer_too() -> None:
    depth = torch.tensor([[[0.0, 1.0, 40.0], [512.0, 3000.0, 60000.0]]])
    scale = torch.log(torch.tensor(2.0**16))
    sample = (torch.zeros(3, 2, 3), {"depth": depth.log1p() / scale})
    _, changed = zoom(sample, 1.01, (0, 0), {"depth": "log_depth"})  # a window of the whole picture: nothing moves
    assert torch.allclose(changed["depth"], (depth / 1.01).log1p() / scale, atol=1e-6)
    assert changed["depth"][0, 0, 0] == 0


def test_an_unknown_kind_is_refused() -> None:
    sample = (torch.rand(3, 8, 8), {"keypoints": torch.zeros(1, 8, 8)})
    with pytest.raises(DataError, match="target 'keypoints' is of kind 'heatmap', which can't be augmented; name"):
        Augment().apply(sample, torch.Generator(), {"keypoints": "heatmap"})


def test_a_name_says_nothing_of_a_kind() -> None:
    far = (torch.rand(3, 8, 8), {"depth": torch.full((1, 8, 8), 3.0)})
    with pytest.raises(DataError, match="target 'depth' has no kind; name its kind"):
        Augment().apply(far, torch.Generator(), {})
    labels = {"depth": torch.full((8, 8), 3)}
    kinds = kinds_of([{"kind": "segmentation", "classes": 4, "name": "depth"}])
    _, changed = Augment(scales=(1.5,)).apply((far[0], labels), torch.Generator(), kinds)
    assert changed["depth"].unique().tolist() == [3]


@pytest.mark.parametrize("wrong", [{"scales": (0.5,)}, {"scales": ()}, {"mirror": 1.5}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Augment(**wrong)


class Ramp(SampleDataset):
    """Five small samples."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Sample:
        image = torch.arange(96.0).reshape(1, 8, 12).expand(3, 8, 12) + 100 * index
        return image, {"depth": image[:1].clone()}


def test_equal_indices_give_equal_samples_in_any_order() -> None:
    one, other = (Augmented(Ramp(), Augment(), seed=3, kinds=KINDS) for _ in range(2))
    forward = [one[index][0] for index in range(15)]
    backward = [other[index][0] for index in reversed(range(15))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))


def test_epochs_and_seeds_differ_and_length_is_one_epoch() -> None:
    data = Augmented(Ramp(), Augment(), seed=3, kinds=KINDS)
    assert len(data) == 5
    epochs = [torch.stack([data[epoch * 5 + i][0] for i in range(5)]) for epoch in range(4)]
    assert len({epoch.numpy().tobytes() for epoch in epochs}) == 4
    again = Augmented(Ramp(), Augment(), seed=4, kinds=KINDS)
    assert not torch.equal(epochs[0], torch.stack([again[i][0] for i in range(5)]))


def test_each_change_is_as_likely_as_it_should_be() -> None:
    data = Augmented(Ramp(), Augment(), seed=0, kinds=KINDS)
    flat = Augmented(Ramp(), Augment(scales=(1.0,), mirror=0.5), seed=0, kinds=KINDS)
    mirrored = sum(bool((flat[i][0][0, 0, 0] > flat[i][0][0, 0, 1]).item()) for i in range(600))
    assert 250 < mirrored < 350
    spans = Counter(round(float(abs(data[i][1]["depth"][0, 0].diff()).sum()), 2) for i in range(600))
    assert len(spans) >= 3


def test_kinds_may_be_named() -> None:
    class Named(Ramp):
        def __getitem__(self, index: int) -> Sample:
            image, targets = super().__getitem__(index)
            return image, {"far": targets["depth"]}

    data = Augmented(Named(), Augment(scales=(1.5,), mirror=0.0), seed=0, kinds={"far": "depth"})
    assert data[1][1]["far"].max() < Ramp()[1][1]["depth"].max()


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(IndexError, match=r"index -1 is negative; write epoch \* 5 \+ i"):
        Augmented(Ramp(), Augment(), seed=0, kinds=KINDS)[-1]


def test_rooms_can_be_augmented() -> None:
    data = Augmented(Rooms(seed=0, indices=range(2), size=(24, 32), cache=False), Augment(), seed=0, kinds=KINDS)
    assert data[7][1]["normals"].shape == (3, 24, 32)
