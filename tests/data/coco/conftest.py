from pathlib import Path

import pytest
from tests.data.coco.making import Made


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "coco")
