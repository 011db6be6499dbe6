from __future__ import annotations

from takedowns.transparency.drawing import MOST_NODES, Edge, lineage_drawing


def test_there_is_nothing_to_draw_without_edges() -> None:
    assert lineage_drawing([], title="Lineage") == ""


def test_each_end_is_drawn_once_and_to_the_right_of_its_parents() -> None:
    edges = [Edge("a", "c", "subset of"), Edge("a", "b", "subset of"), Edge("b", "c", "derived from")]
    drawn = lineage_drawing(edges, title="Lineage of a")
    assert [drawn.count(f">{name}</text>") for name in "abc"] == [1, 1, 1]
    places = {
        name: int(drawn.split(f">{name}</text>")[0].rsplit('<text x="', 1)[1].split('"')[0]) for name in "abc"
    }
    assert places["a"] < places["b"] < places["c"]


def test_names_are_escaped_and_shortened() -> None:
    drawn = lineage_drawing([Edge("<b>", "x" * 60, "trained on")], title="<i>")
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "x" * 25 + "…" in drawn


def test_what_would_not_fit_is_left_to_the_table() -> None:
    edges = [Edge("a", f"{number}", "subset of") for number in range(MOST_NODES)]
    assert lineage_drawing(edges, title="Lineage") == ""
