"""One tiny run for all tests that look at what a run leaves behind."""

from pathlib import Path

import pytest

from niwaki.recipes import Recipe, parse_recipe, run_recipe
from niwaki.records import Record

TINY = """\
name: tiny
about: as little as a run can be
data: {kind: rooms, size: [32, 32], train: 8, val: 4, test: 4, cache: false}
model: {kind: resnet_unet, width: 0.5}
method: {kind: structured_pruning, budget: {macs: 0.6}}
training: {steps: 4, batch_size: 4}
finetune: {steps: 2}
latency: {rounds: 3}
pictures: 2
"""


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """Return the recipe of the tiny run as YAML."""
    return TINY


@pytest.fixture(scope="session")
def tiny(tiny_text: str) -> Recipe:
    """Return the recipe of the tiny run."""
    return parse_recipe(tiny_text)


@pytest.fixture(scope="session")
def finished(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """Return the directory of a finished tiny run, and its record."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return folder, run_recipe(tiny, folder)
