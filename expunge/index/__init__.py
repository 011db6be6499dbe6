"""The key index: which rows of which shards carry a key, answered without reading a shard.

    build_index(find_shards([Path("data")]).shards, Path("idx"), name="2B-en")
    with KeyIndex(Path("idx")) as index:
        for found in locate_versions(index, entries, read_versions(Path("idx"))): ...

Per shard digest and key kind it holds the first 8 bytes of each key, sorted, with row numbers. It is a filter: what it
names is read and compared in full before anybody acts on it (`locate_versions`, or `confirm` shard by shard).
"""

from expunge.index.arrays import BadIndex
from expunge.index.build import Built, build_index
from expunge.index.builder import ShardIndexer
from expunge.index.lookup import Found, confirm, locate_versions
from expunge.index.merging import merge_shards
from expunge.index.store import Candidates, KeyIndex
from expunge.index.versions import IndexedShard, IndexedVersion, read_versions, write_version

__all__ = [
    "BadIndex",
    "Built",
    "Candidates",
    "Found",
    "IndexedShard",
    "IndexedVersion",
    "KeyIndex",
    "ShardIndexer",
    "build_index",
    "confirm",
    "locate_versions",
    "merge_shards",
    "read_versions",
    "write_version",
]
