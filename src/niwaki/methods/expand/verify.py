"""Folded = trained: the proof that every fold has to pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Example, Named, as_examples, name_outputs, task_names
from niwaki.errors import SurgeryError
from niwaki.modules import device_of
from niwaki.surgery.compare import TOLERANCE, Agreement
from niwaki.surgery.rehearsal import draw, seeded

__all__ = ["compare_folded", "require_same_answers"]


def compare_folded(
    trained: nn.Module, folded: nn.Module, example: Any, tasks: Sequence[Named] | None = None
) -> list[Agreement]:
    """Compare a trained network with what it was folded into, on the example and on inputs drawn like it.

    Args:
        trained: The network in its expanded form, in evaluation mode.
        folded: The network after the fold, in evaluation mode.
        example: As for `niwaki.methods.Method.start`.
        tasks: The tasks, or None for the outputs' own names.

    Returns:
        One comparison for each output of floating point numbers.

    Raises:
        SurgeryError: When one of the two is in training mode.

    Examples:
        >>> net = nn.Linear(2, 1).eval()
        >>> [each.holds for each in compare_folded(net, net, torch.ones(1, 2))]
        [True]
    """
    training = "trained" if trained.training else "folded" if folded.training else None
    if training is not None:
        raise SurgeryError(
            f"the {training} network is in training mode, where batch norms take each batch's own statistics and "
            "dropout draws at random, so that even equal networks differ; compare in evaluation mode: call eval() on "
            "both"
        )
    found: dict[str, Agreement] = {}
    device = device_of(trained)
    names, paths = task_names(tasks), [path.map(lambda each: each.to(device)) for path in as_examples(example)]
    for number, path in enumerate(paths):
        own = names if names is None or len(paths) == 1 else names[number : number + 1]
        for inputs in (path, draw(path, seed=0)):
            before, after = (_outputs(each, inputs, own) for each in (trained, folded))
            for output, answer in before.items():
                found[output] = _worse(found.get(output), output, answer, after[output])
    return list(found.values())


def require_same_answers(agreements: Sequence[Agreement]) -> None:
    """Refuse a fold that answers otherwise.

    Args:
        agreements: As `compare_folded` returned them.

    Raises:
        SurgeryError: When an output differs by 1e-4, both absolutely and relative to its largest value.
    """
    wrong = next((each for each in agreements if not each.holds), None)
    if wrong is not None:
        raise SurgeryError(
            f"the fold did not prove itself: output {wrong.output!r} differs by {wrong.error:.3g} from the trained "
            f"network in evaluation mode (largest value {wrong.scale:.3g}, allowed {TOLERANCE:g}); is a layer's weight "
            "read or changed by other code, or are the weights no longer finite?"
        )


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Example, names: Sequence[str] | None) -> dict[str, Tensor]:
    with seeded(model):
        named = name_outputs(inputs.call(model), names)
    return {name: each for name, each in named.items() if isinstance(each, Tensor) and each.is_floating_point()}


def _worse(known: Agreement | None, output: str, before: Tensor, after: Tensor) -> Agreement:
    one, other = before.cpu().double(), after.cpu().double()
    error = (one - other).abs().max().item() if one.numel() else 0.0
    scale = one.abs().max().item() if one.numel() else 0.0
    error = error if error == error else float("inf")  # noqa: PLR0124 - NaN differs from itself
    if known is None:
        return Agreement(output, error, scale)
    return Agreement(output, max(known.error, error), max(known.scale, scale))
