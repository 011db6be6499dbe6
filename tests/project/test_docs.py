"""What the docs lead to is there: files, headings, settings, columns, addresses of the API."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from django.urls import Resolver404, resolve

from expunge.shards.columns import _NAMES
from registry.embedded.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings of a page as GitHub spells them in addresses."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return frozenset(heading.strip().replace(" ", "-") for heading in plain)


def exists(path: str) -> bool:
    """Whether the address of a page or of the API leads anywhere."""
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_guide_is_on_the_map() -> None:
    readme = (ROOT / "README.md").read_text()
    guides = {f"docs/guide/{page.name}" for page in ROOT.glob("docs/guide/*.md")} - {"docs/guide/demo.md"}
    assert {guide for guide in guides if f"]({guide})" not in readme} == set()


def test_operators_are_told_of_every_setting_about_links() -> None:
    example = (ROOT / ".env.example").read_text()
    guide = (ROOT / "docs/guide/operators.md").read_text()
    names = re.findall(r"^((?:LINKS_|NAME_SERVERS|RDAP_)\w*)=", example, re.MULTILINE)
    assert len(names) >= 9
    assert [name for name in names if f"`{name}`" not in guide] == []


def test_the_samples_of_the_api_ask_for_what_is_there() -> None:
    text = (ROOT / "docs/api.md").read_text()
    links = "/api/v1/datasets/photos/versions/2026-06/links"
    asked = [links + path for path in re.findall(r"\$L(/[a-z/]*)", text)]
    asked += re.findall(r"registry\.example\.org(/api/[^\s\"']*)", text.replace("…", ""))
    asked += [f"{links}/{act}/" for act in ("pause", "resume", "hosts", "domains", "content")]
    assert len(asked) > 10
    assert [path for path in asked if not exists(path.rstrip("/") + "/")] == []
    assert not exists(f"{links}/absent/")


def test_the_usual_names_of_columns_are_listed() -> None:
    listed = (ROOT / "docs/guide/downstream.md").read_text()
    names = [name for several in _NAMES.values() for name in several]
    hashes = ("image_md5", "image_sha1", "image_sha256")  # "also with `image_` before"
    assert [name for name in names if f"`{name}`" not in listed and name not in hashes] == []
