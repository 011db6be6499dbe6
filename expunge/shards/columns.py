"""Which column carries which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expunge.errors import UsageError
from expunge.keys import ROLE_OF, KeyKind, Role, column_keys
from expunge.shards.shard import SAMPLE_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expunge.shards.shard import Column, Shard

# Names under which published datasets carry these columns, compared without case.
_NAMES: dict[Role, tuple[str, ...]] = {
    Role.URL: ("url", "image_url", "img_url", "imageurl", "image_link", "link"),
    Role.TEXT: ("text", "caption", "alt_text", "alt"),
    Role.MD5: ("md5", "image_md5"),
    Role.SHA1: ("sha1", "image_sha1"),
    Role.SHA256: ("sha256", "image_sha256"),
    Role.ROW_ID: ("sample_id", "row_id", "uid", "id"),
}

# The kind whose keys show whether a column can carry a role: values that are no such thing have none.
_PROOF: dict[Role, KeyKind] = {
    Role.URL: KeyKind.URL_RAW,
    Role.TEXT: KeyKind.TEXT,
    Role.MD5: KeyKind.MD5,
    Role.SHA1: KeyKind.SHA1,
    Role.SHA256: KeyKind.SHA256,
    Role.ROW_ID: KeyKind.ROW_ID,
}

_EXPECTED: dict[Role, str] = {
    Role.URL: "URLs",
    Role.TEXT: "text",
    Role.MD5: "MD5 digests of 32 hex digits",
    Role.SHA1: "SHA-1 digests of 40 hex digits",
    Role.SHA256: "SHA-256 digests of 64 hex digits",
    Role.ROW_ID: "ids, as text or whole numbers",
}

BLANKED_ROLES = (Role.URL, Role.TEXT, Role.MD5, Role.SHA1, Role.SHA256)
"""What the aligned form leaves empty; a row's id says where it was, not what it held."""

Binding = dict[Role, str]


def parse_columns(given: Mapping[str, str]) -> dict[Role, str]:
    """Read `KIND=NAME` pairs: a role (`md5`) or a key kind (`content.md5`), and a column's name, or nothing for none.

    Raises `UsageError` for a kind that does not exist.
    """
    known = {role.value: role for role in Role} | {kind.value: role for kind, role in ROLE_OF.items()}
    unknown = [kind for kind in given if kind not in known]
    if unknown:
        raise UsageError(
            f"There is no kind of column {unknown[0]!r}. Use one of: {', '.join(r.value for r in Role)}."
        )
    return {known[kind]: name for kind, name in given.items()}


def bind_columns(
    columns: Sequence[Column],
    given: Mapping[str, str] | None = None,
    hints: Mapping[Role, str] | None = None,
) -> Binding:
    """Find the column of each role, by the names given or by the names in common use, without regard to case.

    A role given with an empty name is left unbound. `hints` are names to try before those in common use: the ones
    that a release had them under, which somebody's copy need not. Raises `UsageError` when a named column does not exist, when a
    name fits several columns, or when no column carries any key.
    """
    named = parse_columns(given or {})
    binding: Binding = {}
    if not columns:  # JSON Lines without an object: all rows are gone, and there is nothing to find
        return binding
    for role in Role:
        if role in named:
            if named[role]:
                binding[role] = _find(columns, named[role], role)
            continue
        hint = hints.get(role) if hints else None
        if hint is not None and _named(columns, hint):
            binding[role] = _find(columns, hint, role)
            continue
        for name in _NAMES[role]:
            if found := _named(columns, name):
                if len(found) > 1:  # of `url` and `URL` in one table neither is the usual one
                    raise _ambiguous(columns, found, name, role)
                binding[role] = found[0]
                break
    if not binding:
        # Not the names: of a file without a header they are the first row's values.
        raise UsageError(
            f"None of the {len(columns)} columns is known to carry a key. Name one with --column KIND=NAME, for example "
            "--column url=href; in a CSV or TSV file the first line must name the columns."
        )
    return binding


def bind_shard(
    shard: Shard, given: Mapping[str, str] | None = None, hints: Mapping[Role, str] | None = None
) -> Binding:
    """As `bind_columns`, of a shard's columns. Raises `UsageError`, naming the shard."""
    try:
        return bind_columns(shard.columns, given, hints)
    except UsageError as error:
        raise UsageError(f"{shard.file.name}: {error}") from error


def _find(columns: Sequence[Column], name: str, role: Role) -> str:
    found = [column.name for column in columns if column.name == name] or _named(columns, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(columns, found, name, role)
    names = ", ".join(column.name for column in columns)
    raise UsageError(f"There is no column {name!r} to carry {role} (columns: {names}).")


def _named(columns: Sequence[Column], name: str) -> list[str]:
    return [column.name for column in columns if column.name.lower() == name.lower()]


def _ambiguous(columns: Sequence[Column], found: Sequence[str], name: str, role: Role) -> UsageError:
    names = ", ".join(column.name for column in columns)
    return UsageError(
        f"{len(found)} columns are called {name!r} (columns: {names}). Name one with --column {role}=NAME."
    )


def is_list(values: pa.Array) -> bool:
    """Whether a column holds a list in each row."""
    return bool(pa.types.is_list(values.type) or pa.types.is_large_list(values.type))


def check_binding(shard: Shard, binding: Binding) -> None:
    """Look at the shard's first rows and refuse a column that cannot be what it is bound to.

    At least half of the values that are not null must be well-formed. LAION's int64 `hash`, for one, is not a
    digest of the image, and users were burnt by it. Raises `UsageError`, naming the column.
    """
    types = {column.name: column.type for column in shard.columns}
    batch = shard.sample(list(binding.values()))
    if batch is None:
        return
    for role, name in binding.items():
        is_number = types[name] in _NUMBERS and role is not Role.ROW_ID
        if not is_number and _can_carry(role, batch.arrays[name][:SAMPLE_ROWS]):
            continue
        raise UsageError(
            f"{shard.file.name}: column {name!r} ({types[name]}) cannot carry {role}: it should hold "
            f"{_EXPECTED[role]}. Name another with --column {role}=NAME, or none with --column {role}= ."
        )


# JSON Lines gives numbers as their digits, which are an id and nothing else.
_NUMBERS = ("int64", "list<int64>")

# Any scheme: what has no c1, such as s3://bucket/key, has a raw key all the same.
_STARTS_AS_URL = r"^\s*[A-Za-z][A-Za-z0-9+.-]*:/"


def _can_carry(role: Role, values: pa.Array) -> bool:
    """Whether at least half of the values that are not null are well-formed."""
    if is_list(values):
        values = values.flatten()
    try:
        keys = column_keys(_PROOF[role], values)
    except UsageError:
        return False
    good = len(keys) - keys.null_count
    if role is Role.URL:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        good = pc.sum(pc.match_substring_regex(values.cast(pa.large_binary()), _STARTS_AS_URL)).as_py() or 0
    return bool(good * 2 >= len(values) - values.null_count)
