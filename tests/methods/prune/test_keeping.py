"""Names, patterns and modules whose channels stay."""

import pytest
from torch import nn

from niwaki.errors import ContractError
from niwaki.methods.prune.keeping import names_of
from niwaki.modules import kept_parameters


def net() -> nn.Module:
    encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Conv2d(4, 2, 1)})


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ([], []),
        (["head"], ["head.weight", "head.bias"]),
        (["encoder.0.weight"], ["encoder.0.weight"]),
        (["*.bias"], ["encoder.0.bias", "encoder.1.bias", "head.bias"]),
        (["encoder", "encoder.?"], ["encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias"]),
        (
            [""],
            ["encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias", "head.weight", "head.bias"],
        ),
    ],
)
def test_what_names_stand_for(keep: list[str], expected: list[str]) -> None:
    assert kept_parameters(net(), keep) == expected


def test_a_module_stands_for_its_name() -> None:
    model = net()
    assert names_of(model, [model.head, "encoder.*"]) == ("head", "encoder.*")  # type: ignore[list-item]  # ModuleDict's children


def test_a_name_that_fits_nothing_is_answered_with_the_closest() -> None:
    with pytest.raises(ContractError, match="'heed' fits no module or parameter of the model; did you mean 'head'"):
        kept_parameters(net(), ["heed"])


def test_a_module_of_another_model_is_refused() -> None:
    with pytest.raises(ContractError, match="this ReLU is no part of the model"):
        names_of(net(), [nn.ReLU()])


def test_one_wish_may_stand_alone() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert names_of(net, "0") == ("0",)
    assert names_of(net, net[0]) == ("0",)
