"""Which weights can be sparse in a model that can't be exported: those of modules whose type says so."""

from torch import nn

from niwaki.methods.sparse.layers import Layer, Place

__all__ = ["layers_by_type"]

_TYPES = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.RNNBase,
)


def layers_by_type(model: nn.Module) -> dict[str, Layer]:
    """List the weights of convolutions, linear and recurrent modules, in the order in which they were made.

    Which tasks use them is not known, so that all of them count as trunk; the first in order is taken to read the
    input, the last to make an output.

    Args:
        model: Any module, unwrapped.

    Returns:
        Canonical name to layer.

    Examples:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 3), nn.Linear(3, 1))
        >>> {name: each.place for name, each in layers_by_type(net).items()}
        {'0.weight': 'first', '2.weight': 'inner', '3.weight': 'prediction'}
    """
    own = {id(each) for module in model.modules() if isinstance(module, _TYPES) for each in module.parameters()}
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters() if id(each) in own and each.dim() > 1}
    places: dict[str, Place] = dict.fromkeys(shapes, "inner")
    if shapes:
        first, *_, last = [*shapes, *shapes]
        places |= {first: "first", last: "prediction"}
    return {name: Layer(name, shape, "trunk", places[name]) for name, shape in shapes.items()}
