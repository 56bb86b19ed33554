"""What a report says of layers that trained in another form: their size meanwhile, and how exact the fold was."""

from niwaki.records import Folding
from niwaki.reports.tables import Table

__all__ = ["folding_table"]


def folding_table(folding: Folding | None) -> Table | None:
    """Tabulate the layers that were expanded.

    Args:
        folding: What was expanded, or None.

    Returns:
        One row a layer, and the whole network; None without an expansion.
    """
    if folding is None:
        return None
    rows = [
        (
            each.name or "the model",
            " x ".join(map(str, each.shape)),
            f"{each.params:,}",
            f"{each.training_params:,}",
            "" if each.rank is None else str(each.rank),
            ", ".join(each.tasks),
        )
        for each in folding.layers
    ]
    rows.append(("all parameters", "", f"{folding.params:,}", f"{folding.training_params:,}", "", ""))
    columns = ("layer", "weight", "plain", "while training", "rank", "scales of")
    return Table(f"Trained as {folding.method}", columns, tuple(rows), " ".join(_notes(folding)))


def _notes(folding: Folding) -> list[str]:
    form = "Some layers stay two of lower rank" if folding.factored else "Every layer was folded into its plain weight"
    apart = f"In evaluation mode the result and the trained network differ by {folding.largest_difference:.2g} at most."
    notes = [f"{form}. {apart}"]
    if folding.optimizer_bytes is not None and folding.plain_optimizer_bytes:
        own, plain = folding.optimizer_bytes, folding.plain_optimizer_bytes
        notes.append(f"The optimizer's state took {own:,} bytes, about {plain:,} for the plain network.")
    if folding.plain:
        notes.append(f"Plain throughout: {'; '.join(f'{name} ({why})' for name, why in folding.plain.items())}.")
    return [*notes, *folding.notes]
