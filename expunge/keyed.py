"""Rows with their keys, for several who look at the same rows: each kind is computed when somebody first asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expunge.locate import keys_by_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from expunge.keys import KeyKind
    from expunge.shards import Batch


class KeyedBatch:
    """A batch, and the keys of its columns as far as they were asked for."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._keys: dict[tuple[str, KeyKind], pa.Array] = {}
        self._parents: dict[str, NDArray[np.int64] | None] = {}

    def keys(
        self, column: str, kinds: Sequence[KeyKind]
    ) -> tuple[dict[KeyKind, pa.Array], NDArray[np.int64] | None]:
        """The keys of these kinds, which the column carries, and the row of each, as `keys_by_kind` gives them.

        Whoever wants several kinds asks for them together: that costs hardly more than the dearest of them.
        """
        missing = [kind for kind in kinds if (column, kind) not in self._keys]
        if missing:
            found, self._parents[column] = keys_by_kind(missing, self.batch.arrays[column])
            self._keys |= {(column, kind): keys for kind, keys in found.items()}
        return {kind: self._keys[column, kind] for kind in kinds}, self._parents[column]
