"""The page of ready networks names every model, and its table of sizes is true."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from niwaki.models import ModelSettings, models
from niwaki.settings.base import read_settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def _rows(after: str) -> list[list[str]]:
    lines = PAGE.partition(after)[2].strip().splitlines()
    table = lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


SIZES = _rows("<!-- sizes: written by benchmarks/models.py -->")


def _settings(name: str, channels: int) -> ModelSettings:
    kind, _, more = name.strip("`").partition(", ")
    values: dict[str, Any] = yaml.safe_load(f"{{{more}}}")
    return read_settings(models.get(kind), {**values, "in_channels": channels})


def _tasks(text: str) -> dict[str, int]:
    if text == "20 tasks of 5":
        return {f"coarse{i}": 5 for i in range(20)}
    return {name: int(count) for name, count in (each.split() for each in text.split(", "))}


def test_every_model_is_on_the_page() -> None:
    described = {name.strip("`") for name, _, _ in _rows("`niwaki list models` shows the\nnames.")}
    assert described == set(models.names())
    measured = {name.strip("`").partition(",")[0] for name, *_ in SIZES}
    assert measured == set(models.names()) - {"timm", "task_nets"}  # made of others


@pytest.mark.parametrize(("name", "tasks", "size", "params", "heads", "macs"), SIZES, ids=[row[0] for row in SIZES])
def test_sizes_are_those_of_the_networks(name: str, tasks: str, size: str, params: str, heads: str, macs: str) -> None:
    with torch.device("meta"):
        net = _settings(name, int(size.split("x", maxsplit=1)[0]))._assemble(_tasks(tasks))
    found = sum(p.numel() for p in net.parameters())
    assert params == f"{found / 1e6:.2f} M"
    own = [p for key, p in net.named_parameters() if key.startswith(("heads.", "paths.", "trunk.norms."))]
    assert heads == f"{sum(p.numel() for p in own) / 1e6:.2f} M"
    assert float(macs.removesuffix(" G")) > 0
