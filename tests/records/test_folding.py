"""The record of a fold: what it says and that it reads back."""

from niwaki.records import FoldedLayer, Folding


def test_it_reads_back_and_prints() -> None:
    row = FoldedLayer(name="stem", shape=(8, 3, 3, 3), params=216, training_params=300, tasks=("depth",), rank=9)
    found = Folding(
        method="overparam",
        layers=(row,),
        plain={"": "kept", "head": "frozen"},
        differences={"depth": 2e-7, "classes": 1e-7},
        scales={"depth": 3.5, "classes": 1.0},
        params=400,
        training_params=500,
        optimizer_bytes=4000,
        plain_optimizer_bytes=3200,
    )
    assert Folding.from_json(found.to_json()) == found
    assert found.largest_difference == 2e-7
    assert str(found).splitlines() == [
        "overparam: 1 layers trained in another form, 2 stayed plain",
        "parameters 400, while training 500 (1.25 times)",
        "optimizer state 4,000 bytes, plain 3,200",
        "depth: folded = trained within 2e-07 (largest value 3.5)",
        "classes: folded = trained within 1e-07 (largest value 1)",
        "the model stayed plain: kept",
        "head stayed plain: frozen",
    ]


def test_nothing_compared_differs_by_nothing() -> None:
    assert Folding(method="rep_vgg", layers=(), params=0, training_params=0).largest_difference == 0.0
