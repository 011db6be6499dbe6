"""The card of a Hugging Face dataset: how many rows its splits have is written there, and held against them on loading.

`datasets.load_dataset` refuses a folder whose README.md, or the older `dataset_infos.json`, counts other rows than the
files hold. Both are read as YAML, of which JSON is a part, and only the numbers are replaced: every other character of
a card is its author's.
"""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import yaml

from expunge.errors import BadShard, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from expunge.copies.targets import Target

CARD = "README.md"
LEGACY_CARD = "dataset_infos.json"

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Size:
    """The rows and the bytes of a shard."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Config:
    """What a card says of one configuration: the nodes of its counts, by split, and those of its sums.

    `files` are the sizes of each split's files; a split of which none is here is left alone.
    """

    name: str
    splits: dict[str, dict[str, yaml.ScalarNode]]
    sums: dict[str, yaml.ScalarNode]
    files: dict[str, list[Size]] = field(default_factory=dict)

    def changes(self) -> list[tuple[yaml.ScalarNode, int]]:
        """The numbers that are not right, and what they should be."""
        changes: list[tuple[yaml.ScalarNode, int]] = []
        in_memory = length = 0
        for split, counts in self.splits.items():
            declared = _number(counts.get("num_examples"))
            said_bytes = _number(counts.get("num_bytes")) or 0
            files = self.files[split]
            length += sum(file.bytes for file in files)
            if declared is None or not files:
                in_memory += said_bytes
                continue
            rows = sum(file.rows for file in files)
            now = round(said_bytes * rows / declared) if declared else said_bytes
            in_memory += now
            if rows != declared:
                changes.append((counts["num_examples"], rows))
                if "num_bytes" in counts:
                    changes.append((counts["num_bytes"], now))
        if changes:
            new = {"download_size": length, "dataset_size": in_memory, "size_in_bytes": length + in_memory}
            changes += [(node, new[name]) for name, node in self.sums.items()]
        return changes


@dataclass(frozen=True, slots=True)
class Card:
    """The card of a folder. `root` is the folder's path inside the copy, `name` the card's; empty for the copy's own root."""

    path: Path
    name: str

    @property
    def root(self) -> str:
        """The folder that it describes, inside the copy, with a slash at its end, or nothing."""
        return self.name.removesuffix(PurePosixPath(self.name).name)

    def describes_dataset(self) -> bool:
        """Whether it counts rows or names files, as the card of a dataset does. Raises `BadShard` when it cannot be read."""
        nodes = _children(self._front()[1])
        return "dataset_info" in nodes or "configs" in nodes or (bool(nodes) and self._is_legacy)

    def corrected(self, sizes: Mapping[str, Size]) -> str | None:
        """The card's text with the rows that the shards have now; None where it has them already.

        `num_examples` is exact, as is `download_size`, the length of the files. `num_bytes`, what the rows take in
        memory, is scaled with the rows: nothing holds it against them. Raises `UsageError` when a split's files cannot
        be told.
        """
        text, front, offset = self._text()
        here = {
            name.removeprefix(self.root): size for name, size in sizes.items() if name.startswith(self.root)
        }
        configs = list(self._configs(front))
        patterns = self._patterns(front)
        changes: list[tuple[yaml.ScalarNode, int]] = []
        strangers = set(here)
        missing: list[str] = []
        for config in configs:
            for split in config.splits:
                one = len(configs) == len(config.splits) == 1
                files = {
                    name
                    for name in here
                    if one or _belongs(name, config.name, split, patterns.get((config.name, split)))
                }
                strangers -= files
                missing += [] if files else [split]
                config.files[split] = [here[name] for name in files]
            changes += config.changes()
        if missing and strangers:
            raise UsageError(
                f"{self.name} counts the rows of split {missing[0]!r}, but no file here is known to belong to it. "
                "Name its files under configs there, or take the count out."
            )
        for node, value in sorted(changes, key=lambda change: -change[0].start_mark.index):
            begin, end = node.start_mark.index + offset, node.end_mark.index + offset
            text = f"{text[:begin]}{value}{text[end:]}"
        return text if changes else None

    def write(self, sizes: Mapping[str, Size], target: Target) -> None:
        """Write the card, corrected where it must be."""
        text = self.corrected(sizes)
        if text is None:
            target.keep(self.path, self.name)
            return
        with target.new(self.path, self.name).open("w", encoding="utf-8", newline="") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())

    @property
    def _is_legacy(self) -> bool:
        return PurePosixPath(self.name).name == LEGACY_CARD

    def _text(self) -> tuple[str, yaml.Node | None, int]:
        """The whole text, what of it is YAML, parsed, and where that begins."""
        try:
            with self.path.open(encoding="utf-8", newline="") as source:
                text = source.read()
            if self._is_legacy:
                return text, yaml.compose(text, Loader=yaml.SafeLoader), 0
            match = _FRONT_MATTER.match(text)
            if match is None:
                return text, None, 0
            return text, yaml.compose(match[1], Loader=yaml.SafeLoader), match.start(1)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadShard(f"{self.name}: its metadata cannot be read as YAML.", str(self.path)) from error

    def _front(self) -> tuple[str, yaml.Node | None]:
        text, front, _ = self._text()
        return text, front

    def _configs(self, front: yaml.Node | None) -> Iterator[_Config]:
        if self._is_legacy:
            for name, config in _children(front).items():
                yield _config(config, name)
            return
        info = _children(front).get("dataset_info")
        for node in _items(info) or [info]:
            yield _config(node, _value(_children(node).get("config_name")) or "default")

    @staticmethod
    def _patterns(front: yaml.Node | None) -> dict[tuple[str, str], list[str]]:
        """The files of each configuration and split, as patterns, where the card names them."""
        patterns: dict[tuple[str, str], list[str]] = {}
        for node in _items(_children(front).get("configs")):
            config = _children(node)
            name = _value(config.get("config_name")) or "default"
            files = config.get("data_files")
            for entry in _items(files) or [files]:
                fields = _children(entry)
                paths: yaml.Node | None = fields.get("path") or entry
                found = [_value(path) for path in _items(paths)] or [_value(paths)]
                split = _value(fields.get("split")) or "train"
                patterns.setdefault((name, split), []).extend(path for path in found if path)
        return patterns


def _belongs(name: str, config: str, split: str, patterns: list[str] | None) -> bool:
    """Whether a file belongs to a split: by the card's patterns, or as `push_to_hub` names files."""
    if patterns:
        return any(fnmatch.fnmatchcase(name, pattern.removeprefix("./")) for pattern in patterns)
    folder = re.escape(config) if config != "default" else "data"
    return re.match(rf"(?:{folder}|data)/{re.escape(split)}(?:-\d+-of-\d+|[-._/])", name) is not None


def _config(node: yaml.Node | None, name: str) -> _Config:
    fields = _children(node)
    splits = fields.get("splits")
    found: dict[str, dict[str, yaml.ScalarNode]] = {}
    for part in _items(splits) or _children(splits).values():
        counts = {key: value for key, value in _children(part).items() if isinstance(value, yaml.ScalarNode)}
        found[_value(counts.get("name")) or ""] = counts
    sums = {
        key: value
        for key in ("download_size", "dataset_size", "size_in_bytes")
        if isinstance(value := fields.get(key), yaml.ScalarNode) and _number(value) is not None
    }
    return _Config(name, found, sums)


def _children(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _items(node: yaml.Node | None) -> list[yaml.Node | None]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _value(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _number(node: yaml.Node | None) -> int | None:
    text = _value(node)
    return int(text) if text.isascii() and text.isdigit() else None
