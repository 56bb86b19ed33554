"""What every test runs under: one thread, derandomised examples."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

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
