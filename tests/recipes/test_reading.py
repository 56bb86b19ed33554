from pathlib import Path

import pytest
import yaml

from niwaki.errors import RecipeError
from niwaki.recipes import Recipe, find_recipe, parse_recipe, read_recipe, recipe_names
from niwaki.settings.base import read_settings

TEXT = """\
name: mine
data: {kind: rooms, train: 8}
model:
  kind: resnet_unet
  width: 0.5
method:
  kind: structured_pruning
  budget: {macs: 0.5}
training:
  epochs: 3
  lr: 1e-2
  batch_size: 4
finetune:
  epochs: 1
  lr: 1e-3
"""


def test_what_finetune_does_not_say_is_taken_from_training() -> None:
    recipe = parse_recipe(TEXT)
    assert recipe.training is not None
    assert (recipe.training.lr, recipe.finetune.lr) == (1e-2, 1e-3)
    assert recipe.finetune.batch_size == 4
    assert recipe.finetune.epochs == 1


def test_the_seed_reaches_both_trainings() -> None:
    recipe = parse_recipe(TEXT, overrides=["seed=7"])
    assert recipe.training is not None
    assert (recipe.seed, recipe.training.seed, recipe.finetune.seed) == (7, 7, 7)


def test_a_resolved_recipe_reads_back_to_itself() -> None:
    recipe = parse_recipe(TEXT, overrides=["balance={kind: DWA, temperature: 3}"])
    plain = recipe.model_dump(mode="json")
    assert read_settings(Recipe, plain) == recipe
    assert parse_recipe(yaml.safe_dump(plain)) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_shelf_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe.about


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width: 0.5", "width: -1", r"mine.yaml:5: model.width: input should be greater than 0; got -1"),
        ("kind: resnet_unet", "kind: resnet", r"mine.yaml:4: model.kind: unknown model 'resnet'.*known: .*resnet_unet"),
        ("lr: 1e-2", "rate: 1e-2", r"mine.yaml:11: training.rate: unknown setting; allowed: .*lr"),
        ("{macs: 0.5}", "{macs: 1.5}", r"mine.yaml:8: method.budget: .*a fraction lies in \(0, 1\]"),
        ("kind: structured_pruning", "kin: structured_pruning", r"mine.yaml:6: method: a method needs `kind`"),
        ("name: mine", "nam: mine", r"mine.yaml:1: nam: unknown setting(.|\n)*|mine.yaml:1: name: is required"),
        ("epochs: 3", "epochs: [3", r"mine.yaml:\d+: this is no YAML"),
    ],
)
def test_a_mistake_names_the_line_the_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        read_recipe(file)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TEXT.replace("width: 0.5", "width: x").replace("epochs: 3", "epochs: 0"))
    assert len(str(caught.value).splitlines()) == 2


def test_an_override_is_named_as_it_was_written() -> None:
    with pytest.raises(RecipeError, match=r"^--set training.lr: training.lr: .*greater than 0; got -1"):
        parse_recipe(TEXT, overrides=["training.lr=-1"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.lr", "write it as a.b=c"),
        ("name.first=x", "'name' holds 'mine', which has no parts"),
        ("training.lr=[1", "this is no YAML"),
    ],
)
def test_an_override_that_can_not_be_made_is_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(TEXT, overrides=[change])


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ("nothing", "unknown balancer 'nothing'"),
        ("{temperature: 3}", "a balancer needs `kind`"),
        ("{kind: DWA, heat: 3}", "balance.heat: unknown setting; allowed: temperature"),
        ("{kind: DWA, 3: 4}", "balance.3: unknown setting; allowed: temperature"),
        ("{kind: MinMax, beta: 2}", r"balance.beta: must be above gamma / 2 = 2.5, or the weights oscillate; got 2.0"),
        ("{kind: MinMax, cadence: month}", "balance.cadence: input should be 'ema', 'step' or 'epoch'; got 'month'"),
        ("{kind: MinMax, normalise: {depth: 0}}", "balance.normalise.depth: must be a number above 0; got 0.0"),
        ("{kind: CAGrad, c: wide}", "balance.c: input should be a valid number"),
    ],
)
def test_a_balancer_that_is_not_known_is_refused(balance: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(TEXT, overrides=[f"balance={balance}"])


def test_a_balancers_options_are_read_as_numbers_and_written_out() -> None:
    recipe = parse_recipe(TEXT.replace("method:", "balance: {kind: MinMax, gamma: 2e0, beta: 1e1}\nmethod:"))
    assert recipe.balance == recipe.make_balancer().describe()
    assert (recipe.balance["gamma"], recipe.balance["beta"], recipe.balance["cadence"]) == (2.0, 10.0, "ema")


def test_a_balancers_mistake_is_told_with_its_line() -> None:
    text = TEXT.replace("method:", "balance:\n  kind: MinMax\n  gamma: 5\n  beta: 1\nmethod:")
    line = text.splitlines().index("  beta: 1") + 1
    with pytest.raises(RecipeError, match=f"recipe:{line}: balance.beta: must be above gamma / 2"):
        parse_recipe(text)


def test_a_balancer_is_made_anew_each_time() -> None:
    recipe = parse_recipe(TEXT, overrides=["balance=UW"])
    assert recipe.make_balancer() is not recipe.make_balancer()


def test_text_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(RecipeError, match="a recipe is a mapping of settings; got list"):
        parse_recipe("[1, 2]")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match="nowhere.yaml is no file"):
        read_recipe("nowhere.yaml")
    with pytest.raises(RecipeError, match="there is no recipe 'nowhere' and no such file; the recipes are: .*demo"):
        find_recipe("nowhere")
