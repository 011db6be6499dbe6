"""What must hold of clean, apply, check, diff and verify, whatever the rows, the format, the form and the list."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.apply import apply
from expunge.check import Verdict, check
from expunge.diff import diff_versions
from expunge.keys import canonical_url, url_domain, url_host
from expunge.lists import Redaction, parse_entry
from expunge.verify import verify_release
from tests.expunge.formats import (
    ALL,
    Layout,
    Row,
    blanked_rows,
    expected_rows,
    md5_of,
    read_rows,
    write_shard,
)
from tests.expunge.runs import copy_of, release_of, shards_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from expunge.clean import CleanResult
    from expunge.manifest import Form

quickly = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

# Few URLs, so that rows share them; some are other spellings of the same, some have no c1 form.
URLS = (
    "https://a.example.com/1.jpg",
    "https://A.example.com:443/1.jpg#x",
    "https://a.example.com/2.jpg",
    "http://a.example.com/1.jpg",
    'https://b.example.com/1.jpg?q=ü,"x"',
    "https://b.example.org/%7eann/",
    "s3://bucket/key",
)
TEXTS = ("one", 'two, "three"', "four\nfive", "\u2028 six\t", None)
urls = st.sampled_from((*URLS, None))
digests = st.sampled_from((*map(md5_of, range(4)), None))


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Rows with ids of their own; at least every second one has a URL that looks like one."""
    drawn = draw(st.lists(st.tuples(urls, st.sampled_from(TEXTS), digests), min_size=1, max_size=24))
    return [Row(number, *values, similarity=number / 3) for number, values in enumerate(drawn)]


@dataclass(frozen=True)
class Wanted:
    """Entries of a removal list, and what they mean, said without the engine."""

    entries: tuple[str, ...]

    def takes(self, row: Row, layout: Layout) -> bool:
        return any(_names(entry, row, plain=layout.is_plain) for entry in self.entries)


def _names(entry: str, row: Row, *, plain: bool) -> bool:
    kind, _, value = entry.partition("|")
    url = row.url
    match kind:
        case "url":
            if url is None:
                return False
            return (
                url == value if canonical_url(value) is None else canonical_url(url) == canonical_url(value)
            )
        case "raw":
            return url == value
        case "host":
            return url is not None and url_host(url) == value
        case "domain":
            return url is not None and url_domain(url) == value
        case "md5":
            return not plain and row.md5 == value
        case _:
            return not plain and str(row.id) == value


def _written(entry: str) -> str:
    kind, _, value = entry.partition("|")
    return f"url.raw.sha256:{sha256(value.encode()).hexdigest()}" if kind == "raw" else f"{kind}:{value}"


lists = st.lists(
    st.one_of(
        st.sampled_from(URLS).map("url|{}".format),
        st.sampled_from(URLS).map("raw|{}".format),
        st.sampled_from(("host|a.example.com", "host|b.example.org", "domain|example.com")),
        st.integers(0, 4).map(lambda n: f"md5|{md5_of(n)}"),
        st.integers(0, 30).map("id|{}".format),
    ),
    min_size=1,
    max_size=4,
    unique=True,
).map(lambda entries: Wanted(tuple(entries)))
layouts = st.sampled_from(ALL)

# Cells to redact: an entry, and a column by its role, or none for the entry's own.
redactions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(URLS).map("url|{}".format), st.sampled_from(("url", "text", "md5", None))),
        st.tuples(
            st.sampled_from(("host|a.example.com", "domain|example.org")), st.sampled_from(("text", None))
        ),
        st.tuples(
            st.integers(0, 4).map(lambda n: f"md5|{md5_of(n)}"), st.sampled_from(("url", "text", None))
        ),
        st.tuples(st.integers(0, 30).map("id|{}".format), st.sampled_from(("url", "text", "md5"))),
    ),
    max_size=4,
    unique=True,
)
forms: st.SearchStrategy[Form] = st.sampled_from(("compact", "aligned"))


@dataclass(frozen=True)
class Case:
    """A base of two shards and the clean release that was made of it."""

    folder: Path
    base: Path
    rows: list[Row]
    layout: Layout
    wanted: Wanted
    form: Form
    result: CleanResult
    redacted: tuple[tuple[str, str | None], ...] = ()

    def without_cells(self, row: Row) -> Row:
        """The row as redactions leave it."""
        lost: dict[str, Any] = {
            column or ("md5" if entry.startswith("md5|") else "url"): None
            for entry, column in self.redacted
            if _names(entry, row, plain=self.layout.is_plain)
        }
        return replace(row, **lost)

    @property
    def removed(self) -> set[int]:
        return {row.id for row in self.rows if self.wanted.takes(row, self.layout)}


@contextmanager
def released(
    rows: list[Row],
    layout: Layout,
    wanted: Wanted,
    form: Form,
    cells: Sequence[tuple[str, str | None]] = (),
) -> Iterator[Case]:
    """A release; of a format without text and hashes none can be redacted."""
    cells = tuple(cell for cell in cells if cell[1] in {"url", None} or not layout.is_plain)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        half = len(rows) // 2
        write_shard(folder / "base", "a/first", rows[:half] or rows, layout)
        if half:
            write_shard(folder / "base", "second", rows[half:], layout)
        result = release_of(
            folder / "base",
            map(_written, wanted.entries),
            folder / "release",
            form=form,
            redactions=[Redaction(parse_entry(_written(entry)), column) for entry, column in cells],
        )
        yield Case(folder, folder / "base", rows, layout, wanted, form, result, cells)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def found_in(folder: Path) -> list[tuple[str | None, ...]]:
    return [row for path in sorted(folder.rglob("*")) if path.is_file() for row in read_rows(path)]


def after(case: Case, rows: Sequence[Row], layout: Layout) -> list[tuple[str | None, ...]]:
    """The rows that a copy in another layout must have at the release."""
    rows = [case.without_cells(row) for row in rows]
    if case.form == "aligned":
        return blanked_rows(rows, layout, case.removed)
    return expected_rows([row for row in rows if row.id not in case.removed], layout)


@quickly
@given(tables(), layouts, lists, forms, redactions)
def test_a_release_holds_exactly_the_other_rows_and_cells_and_verifies(
    rows: list[Row], layout: Layout, wanted: Wanted, form: Form, cells: list[tuple[str, str | None]]
) -> None:
    with released(rows, layout, wanted, form, cells) as case:
        assert case.result.rows_removed == len(case.removed)
        assert found_in(case.folder / "release/data") == after(case, rows, layout)
        verified = verify_release(case.folder / "release", integrity_only=True)
        assert verified.root == case.result.root


@quickly
@given(tables(), layouts, lists, forms)
def test_the_same_arguments_give_the_same_bytes(
    rows: list[Row], layout: Layout, wanted: Wanted, form: Form
) -> None:
    with released(rows, layout, wanted, form) as case:
        release_of(case.base, map(_written, wanted.entries), case.folder / "again", form=form)
        assert contents(case.folder / "again") == contents(case.folder / "release")


@quickly
@given(tables(), layouts, lists, forms, redactions)
def test_apply_gives_the_release_and_applying_again_changes_nothing(
    rows: list[Row], layout: Layout, wanted: Wanted, form: Form, cells: list[tuple[str, str | None]]
) -> None:
    with released(rows, layout, wanted, form, cells) as case:
        release = case.folder / "release"
        touched = bool(case.removed) or case.result.release.cells_redacted > 0
        assert (check(copy_of(case.base), release).verdict is Verdict.AFFECTED) == touched
        apply(release, copy_of(case.base), case.folder / "copy")
        assert contents(case.folder / "copy") == contents(release / "data")
        assert check(copy_of(case.folder / "copy"), release).verdict is Verdict.NOT_AFFECTED
        apply(release, copy_of(case.folder / "copy"), case.folder / "again")
        assert contents(case.folder / "again") == contents(case.folder / "copy")


@quickly
@given(tables(), layouts, layouts, lists, forms, st.integers(0, 99), st.booleans(), redactions)
def test_a_copy_in_another_order_or_format_or_a_part_gets_the_same_rows(  # noqa: PLR0917  each argument is drawn
    rows: list[Row],
    layout: Layout,
    other: Layout,
    wanted: Wanted,
    form: Form,
    seed: int,
    part: bool,  # noqa: FBT001  drawn
    cells: list[tuple[str, str | None]],
) -> None:
    with released(rows, layout, wanted, form, cells) as case:
        release = case.folder / "release"
        mixed = list(rows)
        Random(seed).shuffle(mixed)
        if part:
            mixed = mixed[: len(mixed) // 2 + 1]
        write_shard(case.folder / "mine", "all", mixed, other)
        applied = apply(release, copy_of(case.folder / "mine"), case.folder / "copy")
        found = found_in(case.folder / "copy")
        if not applied.undetermined:
            assert Counter(found) == Counter(after(case, mixed, other))
        # What can be found by what the copy has is gone, also from a copy that has less.
        kept = [row for row in found if row[-3 if len(row) == 4 else 0] is not None]
        gone_everywhere = {url for url in URLS if all(r.id in case.removed for r in rows if r.url == url)}
        gone_everywhere &= {row.url for row in rows if row.url}
        assert not [row for row in kept if row[-3 if len(row) == 4 else 0] in gone_everywhere]
        checked = check(copy_of(case.folder / "copy"), release)
        assert checked.verdict is (Verdict.UNDETERMINED if applied.undetermined else Verdict.NOT_AFFECTED)
        again = apply(release, copy_of(case.folder / "copy"), case.folder / "again")
        assert again.rows_removed == 0
        assert contents(case.folder / "again") == contents(case.folder / "copy")


@quickly
@given(tables(), layouts, lists)
def test_the_diff_is_what_was_removed(rows: list[Row], layout: Layout, wanted: Wanted) -> None:
    with released(rows, layout, wanted, "compact") as case:
        diff = diff_versions(shards_of(case.base), shards_of(case.folder / "release"), by_shard=True)
        gone = [row for row in rows if row.id in case.removed]
        assert (diff.added, diff.removed) == (0, sum(row.url is not None for row in gone))
        assert diff.common == sum(row.url is not None for row in rows) - diff.removed
        assert diff.without_key == sum(row.url is None for row in rows) * 2 - sum(
            row.url is None for row in gone
        )
        assert (diff.old_rows, diff.new_rows) == (len(rows), len(rows) - len(gone))


@quickly
@given(tables(), tables(), layouts, layouts)
def test_a_diff_counts_multisets(old: list[Row], new: list[Row], one: Layout, other: Layout) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [
            write_shard(folder, stem, rows, layout)
            for stem, rows, layout in (("old", old, one), ("new", new, other))
        ]
        diff = diff_versions(shards_of(paths[0]), shards_of(paths[1]))
        before, now = (Counter(row.url for row in rows if row.url) for rows in (old, new))
        assert (diff.added, diff.removed, diff.common) == (
            (now - before).total(),
            (before - now).total(),
            (now & before).total(),
        )


def test_the_strategies_reach_what_matters() -> None:
    assert canonical_url(URLS[0]) == canonical_url(URLS[1])
    assert canonical_url(URLS[-1]) is None
    assert replace(Wanted(("id|3",))).takes(Row(3, None, None, None), ALL[0])
