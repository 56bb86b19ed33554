"""What every test runs under: one thread, derandomised examples; and one tiny run that several tests look at."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from niwaki.recipes import Recipe, parse_recipe, run_recipe
from niwaki.records import Record

settings.register_profile(
    "niwaki", max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("niwaki")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the root of the project."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data(project: Path) -> Path:
    """Return the folder of real data beside the project, or skip where it is absent."""
    folder = project.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not beside the project ({folder.name} is missing)")
    return folder


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
