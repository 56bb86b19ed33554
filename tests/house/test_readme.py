"""Every Python block of the README and the guides runs, top to bottom, one page in one namespace."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
NEEDS = re.compile(r"<!-- needs: (.+?) -->")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in NEEDS.findall(page.read_text(encoding="utf-8")):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for number, code in enumerate(blocks(page), 1):
        exec(compile(code, f"{page.name} block {number}", "exec"), namespace)
    assert namespace


def test_the_readme_has_blocks_and_names_both_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(blocks(ROOT / "README.md")) >= 2
    assert "make demo" in text
    assert "make test" in text


def test_the_ci_calls_the_commands_of_the_readme() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
