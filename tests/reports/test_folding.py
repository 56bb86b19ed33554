"""What a report says of layers that trained in another form."""

from niwaki.records import FoldedLayer, Folding
from niwaki.reports.folding import folding_table

LAYER = FoldedLayer(name="stem", shape=(8, 3, 3, 3), params=216, training_params=300, tasks=("near", "far"), rank=9)


def test_there_is_no_table_without_an_expansion() -> None:
    assert folding_table(None) is None


def test_each_layer_is_told_with_its_size_while_it_trained() -> None:
    found = Folding(
        method="overparam",
        layers=(LAYER,),
        plain={"head": "frozen"},
        differences={"near": 2e-7},
        params=400,
        training_params=500,
        optimizer_bytes=4000,
        plain_optimizer_bytes=3200,
    )
    table = folding_table(found)
    assert table is not None
    assert table.title == "Trained as overparam"
    assert table.rows == (
        ("stem", "8 x 3 x 3 x 3", "216", "300", "9", "near, far"),
        ("all parameters", "", "400", "500", "", ""),
    )
    assert "differ by 2e-07 at most" in table.note
    assert "took 4,000 bytes, about 3,200 for the plain network" in table.note
    assert "Plain throughout: head (frozen)." in table.note


def test_factors_that_stay_are_told() -> None:
    table = folding_table(Folding(method="overparam", layers=(LAYER,), factored=True, params=1, training_params=1))
    assert table is not None
    assert table.note.startswith("Some layers stay two of lower rank.")
