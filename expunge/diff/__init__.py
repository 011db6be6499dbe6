"""Compare two versions: rows added, removed and common, and with a key named also those that changed.

1. What both versions hold byte for byte is found first (`sharing`): shards that are one file, shards under another
   name, and row groups whose column chunks are equal. Equal bytes are equal rows, and rows taken off both sides alike
   change no difference, so this shortens the way and never the answer.
2. Where a row group follows its older self in order, the rows that still stand in the same order are taken off
   both sides too (`walk`).
3. What is left is compared by DuckDB (`urls` by URL, `changes` by a key that was named), within bounded memory, on
   disk where that is not enough.

All counts are of multisets: a row that is there twice in the one and once in the other version was added or removed
once. Two rows have the same raw key exactly when their URLs are the same bytes, so the URLs themselves are compared.

`explain` tells what a release costs somebody who holds its base.
"""

from expunge.diff.explain import Explained, explain_release
from expunge.diff.versions import Diff, diff_versions

__all__ = ["Diff", "Explained", "diff_versions", "explain_release"]
