"""What a report says of a sparse model: where its weights are, how they moved, and that zeros alone are not faster."""

from typing import Any

import plotly.graph_objects as go

from niwaki.records import Sparsity
from niwaki.reports.charts import COLOURS, LAYOUT
from niwaki.reports.tables import Table

__all__ = ["STATEMENT", "density_chart", "sparsity_table"]

STATEMENT = (
    "Zeros don't make dense kernels faster: PyTorch, ONNX Runtime and cuDNN multiply by a zero as by any other number, "
    "so this model takes as long as the dense one, and what is smaller is its file. On a CPU, niwaki.sparse_runtime "
    "replaces 1x1 convolutions and linear layers where zeros do pay, and measures what that gains."
)


def sparsity_table(sparsity: Sparsity | None) -> Table | None:
    """Tabulate what stays of each part, and of what was never sparse by reason.

    Args:
        sparsity: What the method reached, or None.

    Returns:
        One row a part, one row a reason, and the whole; None without a sparse method.
    """
    if sparsity is None:
        return None
    rows = [
        (part, f"{size:,}", f"{kept:,}", f"{sparsity.asked[part]:.2%}", f"{kept / size:.2%}", _of(kept, sparsity))
        for part, (size, kept) in sparsity.parts().items()
    ]
    for reason in dict.fromkeys(each.reason for each in sparsity.dense):
        size = sum(each.size for each in sparsity.dense if each.reason == reason)
        rows.append((f"never sparse: {reason}", f"{size:,}", f"{size:,}", "", "100%", _of(size, sparsity)))
    whole = sparsity.remaining - sparsity.kept + sparsity.size
    rows.append(("all parameters", f"{whole:,}", f"{sparsity.remaining:,}", "", f"{sparsity.overall:.2%}", "100%"))
    note = " ".join([STATEMENT, *([_theory(sparsity)] if sparsity.theoretical else []), *sparsity.notes])
    columns = ("part", "weights", "kept", "asked for", "density", "of what remains")
    return Table("Sparsity", columns, tuple(rows), note)


def density_chart(sparsity: Sparsity | None) -> Any | None:
    """Draw the share of weights that the masks kept while training went on, and how many moved at each update.

    Args:
        sparsity: What the method reached, or None.

    Returns:
        A plotly figure, or None when the masks never changed.
    """
    if sparsity is None or len(sparsity.timeline) < 2:
        return None
    steps = [moment.step for moment in sparsity.timeline]
    figure = go.Figure()
    figure.add_scatter(
        x=steps,
        y=[moment.kept / sparsity.size for moment in sparsity.timeline],
        name="kept",
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 2, "shape": "hv"},
    )
    figure.add_bar(
        x=steps[1:],
        y=[moment.changed / sparsity.size for moment in sparsity.timeline[1:]],
        name="dropped or grown",
        marker={"color": COLOURS[1], "opacity": 0.5},
    )
    title = "Share of the weights that can be sparse: what is kept, and what moves at each update"
    figure.update_layout(**LAYOUT, height=320, title=title)
    figure.update_xaxes(title_text="optimizer step of the stage")
    figure.update_yaxes(tickformat=".1%", rangemode="tozero")
    return figure


def _of(count: int, sparsity: Sparsity) -> str:
    return f"{count / sparsity.remaining:.1%}"


def _theory(sparsity: Sparsity) -> str:
    cost = sparsity.theoretical
    assert cost is not None
    return (
        f"Theoretical, on a machine that skips every zero: {cost.forward:.1%} of the dense multiply-accumulates of a "
        f"forward pass, {cost.training:.1%} of those of the training; optimizer state {cost.optimizer_bytes:,} bytes "
        f"for what remains, {cost.dense_optimizer_bytes:,} dense."
    )
