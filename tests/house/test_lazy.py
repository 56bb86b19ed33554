"""What a name costs to import: records and reports need no torch, and the root imports nothing until asked."""

import subprocess
import sys
from importlib import import_module

import pytest

import niwaki


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "statement", ["import niwaki", "import niwaki.records", "import niwaki.reports", "import niwaki.cli"]
)
def test_no_torch_without_need(statement: str) -> None:
    assert {"torch", "torchmetrics", "lightning_fabric", "onnxruntime"} & modules_after(statement) == set()


def test_every_public_name_is_there_and_documented() -> None:
    for name in niwaki.__all__:
        assert getattr(niwaki, name) is not None
        assert name == "__version__" or getattr(niwaki, name).__doc__, f"{name} has no docstring"
    assert set(niwaki.__all__) <= set(dir(niwaki))


def test_an_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(AttributeError, match="niwaki has no 'prun'; it has: .*Budget"):
        _ = niwaki.prun


def test_functions_keep_their_names_when_rooms_of_these_names_are_imported() -> None:
    import_module("niwaki.export")
    import_module("niwaki.measure")
    assert callable(niwaki.export)
    assert callable(niwaki.measure)
    assert sys.modules["niwaki.measure"].measure is niwaki.measure
