"""The bar charts: their drawing, and with it their table and their CSV."""

from __future__ import annotations

import pytest
from django.template import Context, Template

from registry.lib import svg


def test_bars_start_at_zero_and_keep_their_proportions() -> None:
    drawn = svg.bars(
        [svg.Bar("A", 200, "200"), svg.Bar("B", 50, "50"), svg.Bar("C", 0, "0")],
        title="A leads", description="d", ident="c",
    )  # fmt: skip
    assert 'width="72.00%"' in drawn
    assert 'width="18.00%"' in drawn
    assert 'width="0.00%"' in drawn


def test_a_chart_of_nothing_is_no_error() -> None:
    assert "<rect" not in svg.bars([], title="t", description="d", ident="c")
    assert 'width="0.00%"' in svg.bars([svg.Bar("A", 0, "0")], title="t", description="d", ident="c")


def test_it_refuses_a_bar_below_zero() -> None:
    with pytest.raises(ValueError, match="starts at zero"):
        svg.bars([svg.Bar("A", -1, "-1")], title="t", description="d", ident="c")


def test_a_chart_has_its_table_and_escapes_labels() -> None:
    chart = Template("{% load look %}{% bar_chart title rows ident='c1' figure='Reports' csv_url='/c.csv' %}")
    html = chart.render(
        Context({"title": "Most are <x>", "rows": [("<b>", 1_200), ("late", 3.5, "3 h 30 min")]})
    )
    assert "<b>" not in html
    assert '<title id="c1-title">Most are &lt;x&gt;</title>' in html
    assert '<td class="number">1,200</td>' in html
    assert '<td class="number">3 h 30 min</td>' in html
    assert '<a href="/c.csv">CSV</a>' in html
