"""An installed torchvision that does not import must not break Niwaki's metrics."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from niwaki.tasks import mend_torchvision

BROKEN = """
import torch
assert {assertion}

@torch.library.register_fake("torchvision::nms")   # what the real one does while it imports
def _nms(dets, scores, iou_threshold):
    return dets

from torchvision import ops, transforms
"""

ANYTHING = """
def __getattr__(name):  # whatever torchmetrics imports of it
    if name.startswith("__"):
        raise AttributeError(name)
    return object
"""

TRIES = """
import sys
try:
    import torchvision
except Exception as fault:
    print("before:", type(fault).__name__)
else:
    print("before: imports")
for name in [name for name in sys.modules if name.startswith("torchvision")]:
    del sys.modules[name]
"""


def run(folder: Path, code: str) -> str:
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a folder with a torchvision that fails without schemas, installed as pip would."""
    package = tmp_path / "torchvision"
    (package / "transforms").mkdir(parents=True)
    for name, text in {
        "__init__.py": BROKEN.format(assertion="True"),
        "ops.py": ANYTHING,
        "models.py": ANYTHING,
        "transforms/__init__.py": ANYTHING,
        "transforms/functional.py": ANYTHING,
    }.items():
        (package / name).write_text(text)
    info = tmp_path / "torchvision-0.99.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.99.0\n")
    return tmp_path


def test_the_fake_is_broken_as_the_real_one_is(broken: Path) -> None:
    assert "before: RuntimeError" in run(broken, TRIES)


def test_metrics_work_beside_a_broken_torchvision(broken: Path) -> None:
    code = """
import niwaki.tasks
import torch, torchmetrics, torchvision
evaluation = niwaki.tasks.Evaluation([niwaki.tasks.Classification(2)])
evaluation.update(torch.eye(2), torch.tensor([0, 1]))
print(evaluation.compute(), niwaki.tasks.mend_torchvision())
"""
    assert run(broken, TRIES + code).splitlines() == [
        "before: RuntimeError",
        "{'classification': {'accuracy': 100.0}} False",
    ]


def test_mending_says_that_it_did(broken: Path) -> None:
    code = """
import importlib.util, sys, torch
spec = importlib.util.find_spec("niwaki")
path = spec.submodule_search_locations[0] + "/tasks/torchvision_shim.py"
alone = importlib.util.module_from_spec(importlib.util.spec_from_file_location("alone", path))
alone.__loader__.exec_module(alone)  # the file by itself: the room mends when it is imported
print(alone.mend_torchvision(), alone.mend_torchvision(), "torchvision.ops" in sys.modules)
"""
    assert run(broken, code).strip() == "True False True"


def test_a_torchvision_beyond_mending_is_an_error_that_says_what_to_do(broken: Path) -> None:
    (broken / "torchvision" / "__init__.py").write_text(BROKEN.format(assertion="False, 'no such build'"))
    found = run(broken, "import niwaki.tasks")
    assert "MeasureError: the installed torchvision does not import (no such build)" in found
    assert "uninstall torchvision" in found


def test_a_sound_torchvision_is_left_alone(broken: Path) -> None:
    (broken / "torchvision" / "__init__.py").write_text("from torchvision import ops, transforms\n")
    found = run(broken, "import niwaki.tasks, torch\nprint(hasattr(torch.ops.torchvision, 'nms'))")
    assert found.strip() == "False"


def test_no_torchvision_is_no_matter() -> None:
    if find_spec("torchvision") is not None:
        pytest.skip("a torchvision is installed here")
    assert mend_torchvision() is False
