"""Habits of the house that no linter knows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = sorted((ROOT / "src" / "niwaki").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def test_no_file_is_named_after_nothing() -> None:
    assert [path for path in SOURCE if path.stem in FORBIDDEN] == []


@pytest.mark.parametrize("path", SOURCE, ids=lambda path: path.stem)
def test_modules_and_what_they_offer_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    offered = {
        element.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for element in getattr(node.value, "elts", [])
        if isinstance(element, ast.Constant)
    }
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert [node.name for node in defined if node.name in offered and not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_checks_something(path: Path) -> None:
    idle = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            text = ast.unparse(node)
            if not any(word in text for word in ("assert", "raises(", "check_")):
                idle.append(node.name)
    assert idle == []
