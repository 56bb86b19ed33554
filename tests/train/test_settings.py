import pytest

from niwaki.errors import SettingError
from niwaki.settings.base import read_settings
from niwaki.train import Distillation, Training


@pytest.mark.parametrize("lengths", [{}, {"epochs": 1, "steps": 1}])
def test_the_length_is_given_once(lengths: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="exactly one of epochs and steps"):
        Training(**lengths)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("weight_decay", -1.0),
        ("momentum", 1.0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("precision", "16-mixed"),
        ("scheduler", "step"),
        ("warmup", -1),
        ("warmup", 1.5),
        ("final_lr", 2.0),
        ("ema", 1.0),
        ("clip_norm", 0.0),
        ("seed", -1),
        ("eval_every", 0),
        ("checkpoint_every", 0),
        ("distill", {"depth": -1.0}),
        ("epochs", 0),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"Training: {name}"):
        Training(**{"epochs": 1, name: value})


@pytest.mark.parametrize(
    "training",
    [
        Training(epochs=3),
        Training(steps=7, warmup=0.1, ema=0.9, distill=True, select="worst"),
        Training(steps=7, warmup=3, distill={"depth": 0.5}),
        Training(epochs=1, distill=Distillation(temperature=4.0, regression="l2")),
    ],
)
def test_settings_survive_plain_data(training: Training) -> None:
    again = read_settings(Training, training.model_dump(mode="json"))
    assert again == training
    assert type(again.warmup) is type(training.warmup)


def test_numbers_may_come_as_text() -> None:
    assert Training(epochs="2", lr="1e-4").lr == 1e-4


def test_total_steps() -> None:
    assert (Training(epochs=3).total_steps(5), Training(steps=7).total_steps(5)) == (15, 7)


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (False, None),
        ({}, None),
        (True, (1.0, 1.0)),
        ({"depth": 0.5}, (0.5, 0.0)),
        (Distillation(weights={"depth": 0.0}), (0.0, 1.0)),
    ],
)
def test_distill_in_its_three_forms(given: object, weights: tuple[float, float] | None) -> None:
    found = Training(epochs=1, distill=given).distillation()
    assert (None if found is None else (found.of("depth"), found.of("normals"))) == weights
