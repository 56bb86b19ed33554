"""The page: one self-contained HTML file."""

from pathlib import Path
from typing import Any

from jinja2 import Environment as Jinja
from jinja2 import PackageLoader, StrictUndefined

from niwaki.atomic import write_atomically
from niwaki.records import Plan, Record
from niwaki.reports.charts import curve_chart, sensitivity_chart, validation_chart, width_chart
from niwaki.reports.emphasis import emphasis_chart
from niwaki.reports.folding import folding_table
from niwaki.reports.material import Material, Scene, read_material
from niwaki.reports.sharing import front_chart, sharing_table, volume_chart
from niwaki.reports.sparsity import density_chart, sparsity_table
from niwaki.reports.tables import cost_table, cut_table, delta_table, latency_table, plan_table, quality_table, verdict

__all__ = ["render", "write_report"]

_MOST_PLANS = 4
_KINDS = ("truth", "dense", "small")


def write_report(directory: Path | str) -> Path:
    """Write `report.html` of a finished run: tables before and after, curves, pictures, plan and recipe.

    Args:
        directory: A run directory with `record.json`.

    Returns:
        The path of the page; it needs no other file and no network.

    Raises:
        FileError: When the run has no record yet, a file of it is damaged, or the page can't be written.
    """
    folder = Path(directory)
    page = folder / "report.html"
    write_atomically(page, render(read_material(folder)))
    return page


def render(material: Material) -> str:
    """Return the page's HTML.

    Args:
        material: What the page shows.

    Returns:
        A whole HTML document.
    """
    record = material.record
    jinja = Jinja(loader=PackageLoader("niwaki.reports"), autoescape=True, undefined=StrictUndefined)
    measured = [
        quality_table(record),
        delta_table(record),
        cost_table(record),
        sparsity_table(record.sparsity),
        sharing_table(record.sharing),
        folding_table(record.folding),
        latency_table(record),
        cut_table(record),
    ]
    return jinja.get_template("report.html").render(
        record=record,
        title=str(record.recipe.get("name", "run")),
        about=str(record.recipe.get("about", "")),
        verdict=verdict(record),
        tables=[table for table in measured if table is not None and table.rows],
        plans=[plan_table(plan) for plan in _shown(record.plans)],
        charts=_charts(material),
        scenes=[scene for scene in material.scenes if scene.tasks],
        cards=_cards(material),
        kinds=_KINDS,
        facts=_facts(record),
        recipe=material.recipe,
    )


def _cards(material: Material) -> list[Scene]:
    """Return the inputs that were answered in words, those of the task that lost most first."""
    rank = {task: place for place, task in enumerate(material.record.worst_first())}
    return sorted(
        (scene for scene in material.scenes if scene.words),
        key=lambda scene: min(rank.get(task, len(rank)) for task in scene.words),
    )


def _charts(material: Material) -> list[str]:
    record, worst = material.record, material.record.worst_first()
    figures = [curve_chart(material.stages, worst), validation_chart(material.stages, record.primary, worst)]
    figures += [emphasis_chart(material.stages, worst)]
    figures += [
        density_chart(record.sparsity),
        front_chart(record.sharing),
        volume_chart(record.sharing),
        sensitivity_chart(record.sensitivity),
        *map(width_chart, _shown(record.plans)),
    ]
    drawn = [figure for figure in figures if figure is not None]
    return [
        figure.to_html(full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False, "responsive": True})
        for number, figure in enumerate(drawn)
    ]


def _shown(plans: tuple[Plan, ...]) -> tuple[Plan, ...]:
    """Return the plans that are shown: of many the first and the last."""
    return plans if len(plans) <= _MOST_PLANS else (plans[0], plans[-1])


def _facts(record: Record) -> list[tuple[str, Any]]:
    environment = record.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in record.compression.seconds.items())
    steps = ", ".join(f"{stage} {value:,}" for stage, value in record.compression.steps.items())
    facts = [
        ("niwaki", environment.niwaki),
        ("machine", f"{environment.processor}, {environment.cores} cores, {environment.system}"),
        ("devices", ", ".join(environment.devices)),
        ("python", environment.python),
        ("packages", packages),
        ("seed", record.seed),
        ("time by stage", seconds),
        ("optimizer steps by stage", steps),
        ("notes", "; ".join(record.compression.notes)),
    ]
    return [(name, value) for name, value in facts if value not in {"", None}]
