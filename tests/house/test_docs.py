"""Pages: each is listed on the first one, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md")), *sorted(DOCS.rglob("*.md"))]
CODE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    return CODE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    return [each for each in LINK.findall(prose(page)) if "://" not in each and not each.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in addresses, by MkDocs and by code hosts alike."""
    words = (re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", each.lower())) for each in HEADING.findall(prose(page)))
    return {each.strip().replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_listed_on_the_first_one() -> None:
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    assert [str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md")) if page not in listed] == ["index.md"]


def test_pages_of_the_site_lead_to_files_of_the_site() -> None:
    outside = [
        f"{page.name}: {link}"
        for page in sorted(DOCS.rglob("*.md"))
        for link in links(page)
        if link.partition("#")[0] and not (page.parent / link.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert outside == []


def test_links_and_headings_are_seen() -> None:
    assert "guides/lightning.md" in links(DOCS / "index.md")
    assert "what-all-of-them-share" in anchors(DOCS / "data.md")
