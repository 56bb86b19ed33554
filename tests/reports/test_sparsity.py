"""What a report says of a sparse model."""

from niwaki.records import DenseWeights, DensityMoment, SparseLayer, SparseTraining, Sparsity
from niwaki.reports.sparsity import STATEMENT, density_chart, sparsity_table

LAYERS = (
    SparseLayer(name="a.weight", part="trunk", size=600, kept=60, nonzeros=60),
    SparseLayer(name="b.weight", part="trunk", size=200, kept=20, nonzeros=20),
    SparseLayer(name="c.weight", part="head depth", size=200, kept=40, nonzeros=40),
)
DENSE = (
    DenseWeights(name="norm.weight", part="trunk", size=30, reason="norm or bias"),
    DenseWeights(name="norm.bias", part="trunk", size=30, reason="norm or bias"),
    DenseWeights(name="first.weight", part="trunk", size=20, reason="reads the model's input"),
)
FOUND = Sparsity(asked={"trunk": 0.1, "head depth": 0.2}, layers=LAYERS, dense=DENSE)


def test_there_is_no_table_without_a_sparse_method() -> None:
    assert sparsity_table(None) is None
    assert density_chart(None) is None
    assert density_chart(FOUND) is None  # masks that never change


def test_each_part_is_told_with_what_was_asked_for_and_its_share_of_what_remains() -> None:
    table = sparsity_table(FOUND)
    assert table is not None
    assert table.rows == (
        ("trunk", "800", "80", "10.00%", "10.00%", "40.0%"),
        ("head depth", "200", "40", "20.00%", "20.00%", "20.0%"),
        ("never sparse: norm or bias", "60", "60", "", "100%", "30.0%"),
        ("never sparse: reads the model's input", "20", "20", "", "100%", "10.0%"),
        ("all parameters", "1,080", "200", "", "18.52%", "100%"),
    )


def test_it_says_plainly_that_zeros_are_not_faster() -> None:
    table = sparsity_table(FOUND)
    assert table is not None
    assert table.note == STATEMENT
    assert "Zeros don't make dense kernels faster" in STATEMENT


def test_what_is_theoretical_is_called_so() -> None:
    cost = SparseTraining(forward=0.25, training=0.4, nonzeros=200, optimizer_bytes=1600, dense_optimizer_bytes=8640)
    table = sparsity_table(FOUND.model_copy(update={"theoretical": cost, "notes": ("a remark",)}))
    assert table is not None
    assert "Theoretical, on a machine that skips every zero: 25.0% of the dense multiply-accumulates" in table.note
    assert table.note.endswith("1,600 bytes for what remains, 8,640 dense. a remark")


def test_updates_are_drawn_over_the_steps() -> None:
    moments = (
        DensityMoment(step=0, kept=130),
        DensityMoment(step=5, kept=130, changed=60),
        DensityMoment(step=9, kept=120),
    )
    figure = density_chart(FOUND.model_copy(update={"timeline": moments}))
    assert figure is not None
    kept, moved = figure.data
    assert list(kept.x) == [0, 5, 9]
    assert list(kept.y) == [0.13, 0.13, 0.12]
    assert list(moved.y) == [0.06, 0.0]
