"""The report's part on shared filters: numbers of the record, and charts of what was searched."""

from niwaki.records.front import Front, packed
from niwaki.records.sharing import SharedLayer, SharedMember, Sharing
from niwaki.reports.sharing import front_chart, sharing_table, volume_chart


def _front(*objectives: str, points: int = 4) -> Front:
    return Front(
        objectives=objectives,
        values=tuple(tuple(0.1 * (point + axis) for axis in range(len(objectives))) for point in range(points)),
        bits=(packed([[0, 1]], [4]),) * points,
        layers=("conv",),
        sizes=(4,),
        chosen=2,
        picked_by="knee",
        algorithm="nsga3",
        found=points + 3,
        judged=184,
        curve=((92, 0.25), (184, 0.5)),
    )


def _sharing(*fronts: Front) -> Sharing:
    members = tuple(
        SharedMember(module=f"{net}.conv", network=net, filters=8, kept=3, merged=4, pruned=1) for net in ("a", "b")
    )
    layer = SharedLayer(
        name="a.conv",
        members=members,
        bank=(6, 3, 3, 3),
        bank_bytes=648,
        index_bits=43,
        scale_bytes=56,
        distance=0.125,
    )
    return Sharing(layers=(layer, layer), fronts=fronts)


def test_the_table_adds_up() -> None:
    table = sharing_table(_sharing())
    assert table is not None
    assert table.rows[0] == ("a.conv", "16", "6", "8", "2", "648", "62", "12.5%")
    assert table.rows[-1] == ("all layers", "32", "12", "16", "4", "1,296", "124", "")


def test_three_objectives_are_drawn_in_space() -> None:
    figure = front_chart(_sharing(_front("importance", "redundancy", "reconstruction")))
    assert figure is not None
    others, taken = figure.data
    assert (len(others.x), list(taken.text)) == (3, ["point 2"])
    assert [round(each[0], 3) for each in (taken.x, taken.y, taken.z)] == [0.2, 0.3, 0.4]
    assert figure.layout.scene.zaxis.title.text == "reconstruction"
    assert "4 of 7 shown; taken: point 2 (knee)" in figure.layout.title.text


def test_more_are_drawn_side_by_side() -> None:
    figure = front_chart(_sharing(_front("a", "b", "c", "d", "e")))
    assert figure is not None
    (lines,) = figure.data
    assert [each.label for each in lines.dimensions] == ["a", "b", "c", "d", "e", "point"]
    assert list(lines.dimensions[-1]["values"]) == [0, 1, 3, 2]
    assert list(lines.line.color) == [0, 0, 0, 1]


def test_the_hypervolume_is_drawn_over_candidates() -> None:
    figure = volume_chart(_sharing(_front("a", "b")))
    assert figure is not None
    assert (list(figure.data[0].x), list(figure.data[0].y)) == ([92, 184], [0.25, 0.5])


def test_of_a_search_layer_by_layer_the_last_is_drawn() -> None:
    figure = front_chart(_sharing(_front("a", "b", "c"), _front("d", "e", "f")))
    assert figure is not None
    assert figure.layout.scene.xaxis.title.text == "d"


def test_nothing_is_drawn_where_nothing_was_searched() -> None:
    for none in (None, _sharing()):
        assert front_chart(none) is None
        assert volume_chart(none) is None
    assert sharing_table(None) is None
    assert sharing_table(Sharing(layers=())) is None
    assert front_chart(_sharing(_front("one"))) is None
    assert volume_chart(_sharing(_front("a", "b").model_copy(update={"curve": ()}))) is None
