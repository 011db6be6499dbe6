"""The hashes of content that a version recorded for the rows of its panel, read after these were drawn."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from expunge.keys import ROLE_OF, column_keys
from expunge.shards import is_list, open_shard
from registry.links.content.states import HASHES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from expunge.shards import ShardFile
    from registry.links.sample import Drawn


def recorded_hashes(
    columns: Mapping[str, str], shards: Sequence[ShardFile], drawn: Collection[Drawn]
) -> dict[bytes, dict[str, str]]:
    """The hashes of the rows drawn, as hex by kind of key, by the row's raw key; rows without any are left out.

    `columns` are the version's, by role. Only shards with a row that was drawn are read, and of them only these columns.
    A column of lists is passed over, for which hash belongs to which URL is not known.
    """
    wanted = {kind: columns[ROLE_OF[kind]] for kind in HASHES if columns.get(ROLE_OF[kind])}
    of_shard: dict[int, list[Drawn]] = defaultdict(list)
    for one in drawn if wanted else ():
        of_shard[one.shard].append(one)
    found: dict[bytes, dict[str, str]] = defaultdict(dict)
    for place, ones in of_shard.items():
        shard = open_shard(shards[place])
        there = {column.name for column in shard.columns}
        kinds = {kind: name for kind, name in wanted.items() if name in there}
        rows = np.array([one.row for one in ones], np.int64)
        for batch in shard.batches(sorted(set(kinds.values()))) if kinds else ():
            within = np.flatnonzero((rows >= batch.first) & (rows < batch.first + batch.rows))
            for kind, name in kinds.items() if len(within) else ():
                values = batch.arrays[name]
                if is_list(values):
                    continue
                digests = column_keys(kind, values.take(rows[within] - batch.first)).to_pylist()
                for drawn_at, digest in zip(within.tolist(), digests, strict=True):
                    if digest is not None:
                        found[ones[drawn_at].key][kind.value] = digest.hex()
    return dict(found)
