"""The tags and filters of `look`, the drawings under them, and the frame that every page extends."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django import forms
from django.contrib.auth.models import AnonymousUser
from django.core.paginator import Paginator
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.urls import path

from registry.lib import svg
from registry.templatetags import look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DASH = "\N{EN DASH}"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def nowhere(_request: HttpRequest) -> HttpResponse:
    raise AssertionError


# Addresses of its own: what is tested here knows no page of the project.
urlpatterns = [
    path("advisories/", nowhere, name="advisory_list"),
    path("sign-out/", nowhere, name="sign_out"),
]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def render(source: str, address: str = "/", **context: Any) -> str:
    request = RequestFactory().get(address)
    return Template("{% load look %}" + source).render(Context({"request": request, **context}))


class ReportForm(forms.Form):
    name = forms.CharField(label="Which dataset?", help_text="Its <name> here.")
    kind = forms.ChoiceField(label="What is wrong?", choices=[("a", "It is mine")], widget=forms.RadioSelect)
    note = forms.CharField(label="More", required=False, widget=forms.Textarea)
    sure = forms.BooleanField(label="This is true")


class TestNumbers:
    def test_it_groups_thousands(self) -> None:
        assert look.thousands(1_204) == "1,204"
        assert look.thousands(-1_000_000) == "-1,000,000"

    @pytest.mark.parametrize(
        ("number", "noun", "text"),
        [
            (1, "row", "1 row"),
            (1_204, "row", "1,204 rows"),
            (2, "advisory,advisories", "2 advisories"),
            (None, "row", f"{DASH} rows"),
        ],
    )
    def test_it_counts_with_the_right_noun(self, number: int | None, noun: str, text: str) -> None:
        assert look.counted(number, noun) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 KB"),
            (999_949, "999.9 KB"),
            (999_950, "1.0 MB"),
            (58_212_331, "58.2 MB"),
            (7_300_000_000, "7.3 GB"),
            (2 * 10**15, "2.0 PB"),
        ],
    )
    def test_it_writes_bytes_in_decimal_units(self, value: int, text: str) -> None:
        assert look.byte_size(value) == text

    @pytest.mark.parametrize(
        ("ratio", "text"),
        [
            (0, "0.0%"),
            (0.00001, "<0.1%"),
            (0.112, "11.2%"),
            (0.99996, ">99.9%"),
            (1, "100.0%"),
            (1.5, "150.0%"),
        ],
    )
    def test_it_never_rounds_a_percentage_to_nothing_or_all(self, ratio: float, text: str) -> None:
        assert look.percent(ratio) == text

    def test_it_writes_as_many_digits_as_asked_for(self) -> None:
        assert look.percent(0.01118, 2) == "1.12%"
        assert look.percent(0.3, 0) == "30%"

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (0.032, "+3.2 points"),
            (-0.2, "\N{MINUS SIGN}20.0 points"),
            (-0.0001, "0.0 points"),
            (0, "0.0 points"),
            (None, DASH),
        ],
    )
    def test_it_gives_a_difference_of_shares_its_sign(self, change: float | None, text: str) -> None:
        assert look.points(change) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0 s"),
            (0.04, "40 ms"),
            (2, "2 s"),
            (8.44, "8.4 s"),
            (9.96, "10 s"),
            (59.7, "1 min"),
            (83, "1 min 23 s"),
            (3_600, "1 h"),
            (7_530, "2 h 5 min"),
            (timedelta(days=3, hours=4, minutes=9), "3 d 4 h"),
            (timedelta(hours=-2), "2 h"),
            (timedelta(days=1_200), "1,200 d"),
        ],
    )
    def test_it_writes_a_duration_in_two_units(self, value: float | timedelta, text: str) -> None:
        assert look.duration(value) == text

    @pytest.mark.parametrize("name", ["thousands", "bytes", "percent", "duration", "when", "stamp", "digest"])
    def test_it_shows_a_dash_for_what_is_missing(self, name: str) -> None:
        assert render("{{ nothing|%s }}" % name, nothing=None) == DASH  # noqa: UP031 - braces all around


class TestTimes:
    @pytest.mark.parametrize(
        ("distance", "text"),
        [
            (timedelta(seconds=-10), "just now"),
            (timedelta(seconds=10), "in a moment"),
            (timedelta(minutes=-1), "1 minute ago"),
            (timedelta(hours=-3), "3 hours ago"),
            (timedelta(hours=3), "in 3 hours"),
            (timedelta(days=-1), "1 day ago"),
            (timedelta(days=-200), "7 months ago"),
            (timedelta(days=-800), "2 years ago"),
        ],
    )
    def test_it_says_how_long_ago(self, distance: timedelta, text: str) -> None:
        assert f">{text}<" in look.when(NOW + distance)

    def test_it_gives_the_exact_time_in_utc(self) -> None:
        local = datetime.fromisoformat("2026-03-01T10:30:15+02:00")
        assert look.when(local) == (
            '<time datetime="2026-03-01T08:30:15Z" title="2026-03-01 08:30:15 UTC">3 hours ago</time>'
        )
        assert look.stamp(local) == (
            '<time datetime="2026-03-01T08:30:15Z" title="3 hours ago">2026-03-01 08:30 UTC</time>'
        )

    def test_it_shows_a_date_without_a_time(self) -> None:
        assert ">2026-02-27</time>" in look.stamp(date(2026, 2, 27))

    @pytest.mark.parametrize(
        ("arguments", "word", "meaning"),
        [
            ({"due": NOW + timedelta(days=4)}, "due in 4 d", "neutral"),
            ({"due": NOW + timedelta(hours=3)}, "due in 3 h", "attention"),
            ({"due": NOW - timedelta(hours=50)}, "2 d 2 h late", "danger"),
            ({"due": NOW - timedelta(hours=50), "paused": True}, "paused", "quiet"),
            ({"due": NOW, "done": NOW - timedelta(days=1)}, "in time", "good"),
            ({"due": NOW, "done": NOW + timedelta(hours=1)}, "1 h late", "danger"),
            ({"due": None}, "no deadline", "neutral"),
        ],
    )
    def test_it_says_how_much_time_is_left(self, arguments: dict[str, Any], word: str, meaning: str) -> None:
        clock = look.clock(**arguments)
        assert (clock["word"], clock["meaning"]) == (word, meaning)

    def test_it_shows_a_clock_as_word_shape_and_colour(self) -> None:
        html = render("{% clock due %}", due=NOW - timedelta(hours=1))
        assert 'data-meaning="danger"' in html
        assert "<svg" in html
        assert "1 h late" in html
        assert 'title="due 2026-03-01 11:00 UTC"' in html


class TestMarks:
    def test_each_meaning_has_a_shape_of_its_own(self) -> None:
        assert len({svg.shape(meaning) for meaning in svg.MEANINGS}) == len(svg.MEANINGS) == 5

    def test_it_escapes_the_word(self) -> None:
        assert "&lt;b&gt;" in look.status_mark("<b>", "good")

    def test_it_refuses_a_meaning_that_does_not_exist(self) -> None:
        with pytest.raises(ValueError, match="no such meaning: 'red'"):
            look.status_mark("Failed", "red")

    def test_it_keeps_the_whole_digest_in_the_page(self) -> None:
        html = look.digest(SHA256)
        assert f'title="{SHA256}"' in html
        assert f'data-copy="{SHA256}"' in html
        assert ">9f86d081<span" in html
        assert html == look.digest(bytes.fromhex(SHA256)) == look.digest(memoryview(bytes.fromhex(SHA256)))

    def test_it_does_not_shorten_what_is_short(self) -> None:
        assert look.digest("d41d8cd98f") == '<span class="digest"><code>d41d8cd98f</code></span>'

    def test_a_command_copies_exactly_what_it_shows(self) -> None:
        html = render(
            '{% command label="Verify" %}\n  expunge verify "{{ name }}"\n{% endcommand %}', name="a&b"
        )
        assert "<code>expunge verify &quot;a&amp;b&quot;</code>" in html
        assert 'data-copy="expunge verify &quot;a&amp;b&quot;"' in html
        assert "<figcaption>Verify</figcaption>" in html

    def test_the_answer_escapes_what_comes_from_outside(self) -> None:
        html = render('{% answer "good" %}<strong>Use {{ name }}.</strong>{% endanswer %}', name="<i>")
        assert "<strong>Use &lt;i&gt;.</strong>" in html
        assert 'data-meaning="good"' in html


class TestLists:
    def test_it_pages_and_keeps_the_query(self) -> None:
        page = Paginator(range(1_987), 50).page(3)
        html = render("{% pager page 'rows' %}", "/x/?q=a%26b&page=3", page=page)
        assert f"Rows 101{DASH}150 of 1,987" in html
        assert 'href="?q=a%26b&amp;page=2" rel="prev"' in html
        assert 'href="?q=a%26b&amp;page=4" rel="next"' in html
        assert 'href="?q=a%26b&amp;page=3" aria-current="page"' in html
        assert 'href="?q=a%26b&amp;page=40"' in html

    def test_a_list_of_several_leads_back_to_its_place_and_leaves_the_others_alone(self) -> None:
        page = Paginator(range(120), 50).page(2)
        html = render("{% pager page 'shards' 'shards' %}", "/x/?shards=2&releases=3", page=page)
        assert 'href="?shards=3&amp;releases=3#shards" rel="next"' in html

    def test_it_says_so_when_one_page_holds_all(self) -> None:
        html = render("{% pager page 'shards' %}", page=Paginator(range(12), 50).page(1))
        assert "All 12 shards are shown" in html
        assert "href" not in html

    def test_the_first_page_has_no_previous_one(self) -> None:
        html = render("{% pager page 'rows' %}", page=Paginator(range(100), 50).page(1))
        assert 'rel="prev"' not in html
        assert 'rel="next"' in html

    def test_it_sorts_one_way_then_the_other_and_starts_at_the_first_page(self) -> None:
        tag = "{% sort_header 'Rows' 'rows' numeric=True %}"
        fresh = render(tag, "/?q=a&page=4")
        assert 'href="?q=a&amp;sort=rows"' in fresh
        assert "aria-sort" not in fresh
        rising = render(tag, "/?sort=rows")
        assert 'aria-sort="ascending"' in rising
        assert 'href="?sort=-rows"' in rising
        falling = render(tag, "/?sort=-rows")
        assert 'aria-sort="descending"' in falling
        assert 'href="?sort=rows"' in falling

    def test_the_default_order_is_marked_without_a_query(self) -> None:
        assert 'aria-sort="descending"' in render("{% sort_header 'Rows' 'rows' default='-rows' %}")

    def test_it_escapes_the_query_in_links(self) -> None:
        html = render("{% sort_header 'Rows' 'rows' %}", '/?q="><script>')
        assert "<script>" not in html

    def test_a_page_that_is_not_installed_has_no_link(self) -> None:
        assert render("{% nav_link 'no_such_page' 'Nowhere' %}") == ""

    def test_it_marks_the_current_page_and_its_section(self) -> None:
        tag = "{% nav_link 'advisory_list' 'Advisories' %}"
        assert 'aria-current="page"' in render(tag, "/advisories/")
        assert 'aria-current="true"' in render(tag, "/advisories/EXP-2026-0001")
        assert "aria-current" not in render(tag, "/elsewhere/")


class TestForms:
    def test_it_joins_label_help_error_and_control(self) -> None:
        html = render("{% field form.name %}", form=ReportForm({}))
        assert '<label for="id_name">Which dataset?</label>' in html
        assert 'aria-describedby="id_name_helptext id_name_error"' in html
        assert 'id="id_name_helptext"' in html
        assert 'id="id_name_error"' in html
        assert 'aria-invalid="true"' in html
        assert "Its &lt;name&gt; here." in html

    def test_a_group_is_a_fieldset_that_the_summary_links_to(self) -> None:
        form = ReportForm({})
        assert '<fieldset class="field field--wrong" id="id_kind"' in render(
            "{% field form.kind %}", form=form
        )
        summary = render('{% include "components/_errors.html" %}', form=form)
        assert '<a href="#id_kind">What is wrong?</a> This field is required.' in summary
        assert '<a href="#id_name">' in summary
        assert "3 things to correct" in summary

    def test_a_form_without_errors_has_no_summary(self) -> None:
        assert render('{% include "components/_errors.html" %}', form=ReportForm()).strip() == ""

    def test_it_says_what_may_be_left_out_and_sizes_text(self) -> None:
        html = render("{% field form.note rows=4 %}", form=ReportForm())
        assert '<span class="optional">optional</span>' in html
        assert 'rows="4"' in html

    def test_a_tick_stands_before_its_label(self) -> None:
        html = render("{% field form.sure %}", form=ReportForm())
        assert html.index("<input") < html.index("<label")


class TestFrame:
    @pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "500"])
    def test_an_error_page_needs_neither_request_nor_database(self, code: str) -> None:
        html = render_to_string(f"{code}.html")
        assert "<h1>" in html
        assert "style=" not in html
        assert "oops" not in html.lower()

    def test_a_visitor_sees_no_staff_links(self) -> None:
        request = RequestFactory().get("/")
        request.user = AnonymousUser()
        html = render_to_string("base.html", request=request)
        assert 'aria-label="Work"' not in html

    def test_a_person_signed_in_sees_their_name_and_work(self) -> None:
        user = SimpleNamespace(is_authenticated=True, get_username=lambda: "a.rivera")
        html = Template('{% include "components/_staff_nav.html" %}').render(
            Context({"request": SimpleNamespace(user=user, path="/"), "organisation": "Poplar lab"})
        )
        assert 'aria-label="Work"' in html
        assert "Poplar lab" in html

    def test_every_message_has_a_meaning(self) -> None:
        messages = [SimpleNamespace(level_tag=tag) for tag in ("success", "warning", "error", "info")]
        html = render('{% include "components/_messages.html" %}', messages=messages)
        for meaning in ("good", "attention", "danger", "neutral"):
            assert f'data-meaning="{meaning}"' in html

    def test_progress_polls_only_while_work_goes_on(self) -> None:
        tag = '{% include "components/_progress.html" %}'
        work: dict[str, Any] = {
            "ident": "job",
            "title": "Building",
            "done": 1_200,
            "total": 5_000,
            "unit": "row",
            "left": 83,
        }
        running = render(tag, poll_url="/jobs/1/progress", **work)
        assert 'hx-get="/jobs/1/progress"' in running
        assert "1,200 of 5,000 rows" in running
        assert "about 1 min 23 s left" in running
        assert '<progress aria-labelledby="job-title" value="1200" max="5000">' in running
        assert "hx-get" not in render(tag, **work)

    def test_progress_claims_no_total_that_is_not_known(self) -> None:
        html = render(
            '{% include "components/_progress.html" %}',
            ident="job",
            title="Reading",
            done=7,
            total=None,
            unit="row",
        )
        assert "value=" not in html
        assert "7 rows so far" in html
