"""Find the channels of a traced model."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from niwaki.errors import GraphError
from niwaki.graph.channels import Channels
from niwaki.graph.classes import Classes
from niwaki.graph.demands import size_demands
from niwaki.graph.explain import Explainer, unknown_operators
from niwaki.graph.groups import covering, group_classes
from niwaki.graph.program import Program, Traced
from niwaki.graph.solve import Solution, solve
from niwaki.graph.walk import Walk, Walker
from niwaki.quiet import uninterrupted
from niwaki.records import ATTENTION, Attention

__all__ = ["find_channels"]

_UNREACHED = "no example reaches it; give an example for each path"


@uninterrupted()
def find_channels(
    traced: Traced, *, keep: Sequence[str] = (), permutations: bool = False, attention: Attention = ATTENTION
) -> Channels:
    """Find which channels live and die together, in all programs of a model at once.

    Args:
        traced: The model, read by `trace`.
        keep: Names of modules or parameters that stay as they are.
        permutations: Whether channels that a chain of views permutes (a channel shuffle) may go one by one. That suits
            a cut that rewrites the program; Python that reshapes to ``(groups, channels // groups)`` needs every group
            to keep the same positions, which is what False demands.
        attention: What of attention may go: channels inside every head, the same in all of them (``"widths"``), or
            whole heads (``"heads"``).

    Returns:
        Classes, groups and constraints.

    Raises:
        GraphError: When a name to keep is unknown.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import trace
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1))
        >>> channels = find_channels(trace(model, torch.zeros(1, 3, 8, 8)))
        >>> [(group.name, group.size) for group in channels.groups]
        [('0', 8)]
        >>> channels.frozen
        {'3.weight': "frozen by the output 'output'"}
    """
    walk = Walker(traced, permutations=permutations, attention=attention).run()
    _freeze_kept(walk, traced, keep)
    _freeze_unreached(walk, traced)
    solution = solve(walk, traced)
    reasons = _reasons(solution)
    removable = solution.held.copy()
    removable[list(reasons)] = False
    explainer = Explainer(solution)
    return Channels(
        traced=traced,
        tensors=solution.tensors,
        values=tuple(solution.values),
        removable=removable,
        groups=group_classes(solution, removable, reasons),
        equal_chunks=_chunks(solution, [] if permutations else traced.programs),
        frozen=_frozen(walk, explainer) | dict.fromkeys(sorted(traced.unread & traced.parameters), _UNREACHED),
        unknown=unknown_operators(solution),
        shuffles=tuple(dict.fromkeys(walk.shuffles)),
        reasons=reasons,
        solution=solution,
        explainer=explainer,
        attention=attention,
    )


def _reasons(solution: Solution) -> dict[int, str]:
    """Return why classes that nothing froze must stay all the same."""
    made = np.unique(np.concatenate([solution.of_unit[units] for units in solution.walk.made] or [np.zeros(0, int)]))
    produced = [solution.tensors[tensor][dim] for tensor, dim in solution.walk.produced]
    weighted = np.concatenate([classes for classes in produced if classes is not None] or [np.zeros(0, int)])
    reasons = dict.fromkeys(np.setdiff1d(made, weighted).tolist(), "no weight makes its channels, the code itself does")
    for number, home in covering(solution).items():
        reasons[number] = f"its channels go together, and without them {home} would be empty"
    return reasons


def _freeze_kept(walk: Walk, traced: Traced, keep: Sequence[str]) -> None:
    for wish in keep:
        named = {canonical for name, canonical in traced.names.items() if f"{name}.".startswith(f"{wish}.")}
        if not named:
            modules = {name.rpartition(".")[0] for name in traced.names}
            close = get_close_matches(wish, [*traced.names, *modules], n=3)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise GraphError(f"nothing to keep is named {wish!r}: give a module's or parameter's name{hint}")
        walk.edges.because(f"the wish to keep {wish}")
        _freeze(walk, named)


def _freeze_unreached(walk: Walk, traced: Traced) -> None:
    """Freeze tensors that no program reads: what the examples don't reach is not ours to judge."""
    walk.edges.because("the examples, none of which reaches it")
    _freeze(walk, traced.unread)


def _freeze(walk: Walk, names: Iterable[str]) -> None:
    for name in sorted(names):
        for units in walk.tensors[name]:
            walk.edges.freeze(units)


def _chunks(solution: Solution, programs: Sequence[Program]) -> list[list[Classes]]:
    """Read the equal pieces as classes; drop repeated ones and those whose pieces are alike already.

    Where Python is to run again, sizes that it computes from others keep their proportion to them.
    """
    found: dict[bytes, list[Classes]] = {}
    cut = [[solution.of_unit[units] for units in pieces] for pieces in solution.walk.chunks]
    computed = [each for i, program in enumerate(programs) for each in size_demands(program, solution.values[i])]
    for classes in [*cut, *computed]:
        alike = all((np.sort(piece) == np.sort(classes[0])).all() for piece in classes)
        if not alike:
            found.setdefault(np.stack(classes).tobytes(), classes)
    return list(found.values())


def _frozen(walk: Walk, explainer: Explainer) -> dict[str, str]:
    """Return every weight that produces channels of which none can go, with what froze them."""
    reasons = {tensor: explainer.dimension(tensor, dim) for tensor, dim in walk.produced}
    return {tensor: reason for tensor, reason in reasons.items() if reason is not None}
