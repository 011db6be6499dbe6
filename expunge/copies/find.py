"""What a copy is made of, recognised by how its files lie.

x.parquet + x.tar            a tar of samples and its manifest (img2dataset, webdataset)
x.parquet + x/key.jpg …      a folder of samples and its manifest (img2dataset `files`)
x_stats.json                 img2dataset's counts of shard x
metadata_3.parquet + img_emb_3.npy    embeddings and their manifest (clip-retrieval), also in folders side by side
README.md with dataset_info  the card of a Hugging Face folder, whose other files are carried over
any other shard              a manifest alone
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from expunge.copies.arrays import ArrayRows
from expunge.copies.card import CARD, LEGACY_CARD, Card
from expunge.copies.folder import FolderSamples
from expunge.copies.img2dataset import STATS, Stats
from expunge.copies.part import Part
from expunge.copies.tar import META, TEXT, TarSamples, sample_key
from expunge.errors import UsageError
from expunge.shards import ShardFile, check_name, is_shard_name
from expunge.shards.source import TABLE_EXTENSION, TEXT_EXTENSIONS, is_release, list_files, split_extension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_TAR = ".tar"
_ARRAY = ".npy"
_CLOSED = {
    ".tfrecord": "it is a TFRecord file",
    ".arrow": "it is an Arrow file",
    ".feather": "it is an Arrow file",
    ".orc": "it is an ORC file",
    ".avro": "it is an Avro file",
    **dict.fromkeys((".zip", ".7z", ".tgz", ".tar.gz", ".tar.zst", ".bz2", ".xz"), "it is compressed"),
}
_IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic")
_NUMBERED = re.compile(r"(.*?)_?(\d+)")


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy: its parts in the order of their names, cards, files carried over with them, and files left out."""

    parts: list[Part]
    cards: list[Card]
    carried: list[tuple[Path, str]]
    ignored: list[Path]

    @property
    def bytes(self) -> int:
        """The length of the manifests and of the files that follow them."""
        paths = [part.manifest.path for part in self.parts if part.manifest]
        paths += [follower.path for part in self.parts for follower in part.all_followers]
        return sum(path.stat().st_size for path in paths if path.exists())


def find_copy(paths: Sequence[Path], embeddings: Path | None = None) -> Copy:
    """Find the copy under files, folders and globs, named as `find_shards` names shards.

    `embeddings` is a folder of arrays that are not named as the convention is: each belongs to the manifest whose name
    ends in the same number, or to the only one.

    Raises `UsageError` when a path does not exist, nothing is found, or two files would have one name.
    """
    files: dict[str, Path] = {}
    released: set[str] = set()
    for path in paths:
        for file, name in list_files(path):
            if name in files and files[name] != file:
                raise UsageError(
                    f"{files[name]} and {file} would both be {name!r}. Give one folder that holds both."
                )
            files[name] = file
            if is_release(path):
                released.add(name)
    copy = _Finder(files, released).copy()
    if embeddings is not None:
        copy = _with_embeddings(copy, embeddings)
    if not copy.parts:
        endings = " ".join((TABLE_EXTENSION, *TEXT_EXTENSIONS))
        names = ", ".join(str(path) for path in paths)
        raise UsageError(
            f"No shard in {names}: looked for {endings}, the text forms also .gz and .zst, and {_TAR}."
        )
    return copy


class _Finder:
    """Takes files out of a list, layout by layout, until none is left that it knows."""

    def __init__(self, files: Mapping[str, Path], released: set[str]) -> None:
        self._left = dict(files)
        self._released = released

    def copy(self) -> Copy:
        """The copy that the files are."""
        linked = self._take_links()
        folders = self._take_folders()
        cards = self._take_cards()
        arrays = self._take_arrays()
        stats = self._take(lambda name: name.endswith(STATS))
        tars = self._take(lambda name: name.lower().endswith(_TAR))
        closed = self._take(lambda name: _closed(name) != "")
        shards = self._take(is_shard_name)
        parts: list[Part] = []
        for name, path in shards.items():
            manifest = ShardFile(path, name, may_be_empty=name in self._released)
            stem = _stem(name)
            tar, folder = tars.pop(f"{stem}{_TAR}", None), folders.pop(stem, None)
            if tar and folder:
                raise UsageError(f"{name} has its samples in {stem}{_TAR} and in {stem}/. Give one of them.")
            samples = TarSamples(tar, f"{stem}{_TAR}") if tar else folder
            counts = stats.pop(f"{stem}{STATS}", None)
            followers = [Stats(counts, f"{stem}{STATS}", manifest)] if counts else []
            parts.append(Part(name, manifest, samples, (*followers, *arrays.pop(name, []))))
        parts += [Part(name, samples=TarSamples(path, name)) for name, path in tars.items()]
        parts += [Part(folder.name, samples=folder) for folder in folders.values()]
        parts += [
            Part(name, unreadable=f"{_closed(name)}, so nothing in it could be looked at") for name in closed
        ]
        parts += [
            Part(name, unreadable="it is a link to a folder, which is not followed: give that folder too")
            for name in linked
        ]
        for part in parts:
            check_name(part.name)
        left = sorted((*self._left.items(), *stats.items()))
        carried = [(path, name) for name, path in left if any(name.startswith(card.root) for card in cards)]
        kept = {name for _, name in carried}
        return Copy(
            sorted(parts, key=lambda part: part.name),
            cards,
            carried,
            [path for name, path in left if name not in kept],
        )

    def _take(self, wanted: Callable[[str], bool]) -> dict[str, Path]:
        taken = {name: path for name, path in self._left.items() if wanted(name)}
        for name in taken:
            del self._left[name]
        return taken

    def _take_links(self) -> dict[str, Path]:
        """The links to folders, in which there may be anything."""
        taken = {name: path for name, path in self._left.items() if path.is_dir()}
        return self._take(taken.__contains__)

    def _take_folders(self) -> dict[str, FolderSamples]:
        """The folders of samples: an image stands there beside a file of the same key, or beside the folder its manifest."""
        inside: dict[str, set[str]] = defaultdict(set)
        for name in self._left:
            parent, _, last = name.rpartition("/")
            inside[parent].add(last)
        manifests = {_stem(name) for name in self._left if is_shard_name(name)}
        found: dict[str, FolderSamples] = {}
        for parent, names in inside.items():
            if _holds_samples(names, described=parent in manifests):
                path = self._left[f"{parent}/{next(iter(names))}" if parent else next(iter(names))].parent
                found[parent] = FolderSamples(path, parent or path.name)
        for parent in found:
            for last in inside[parent]:
                if not (parent == "" and split_extension(last)[0] not in {"", ".txt"}):
                    del self._left[f"{parent}/{last}" if parent else last]
        return found

    def _take_cards(self) -> list[Card]:
        cards = [
            Card(path, name)
            for name, path in sorted(self._left.items())
            if PurePosixPath(name).name in {CARD, LEGACY_CARD}
        ]
        cards = [card for card in cards if card.describes_dataset()]
        for card in cards:
            del self._left[card.name]
        return cards

    def _take_arrays(self) -> dict[str, list[ArrayRows]]:
        """The arrays that belong to a manifest by their names, by the manifest's."""
        found: dict[str, list[ArrayRows]] = defaultdict(list)
        manifests = {
            (_home(name), number): name
            for name in self._left
            if is_shard_name(name) and (number := _number(name, "metadata")) is not None
        }
        for name in sorted(self._left):
            number = _number(name, "_emb") if name.endswith(_ARRAY) else None
            manifest = manifests.get((_home(name), number)) if number is not None else None
            if manifest:
                found[manifest].append(ArrayRows(self._left.pop(name), name))
        return found


def _with_embeddings(copy: Copy, folder: Path) -> Copy:
    """Add the arrays of a folder to the parts that they belong to."""
    if not folder.is_dir():
        raise UsageError(f"--embeddings {folder} is not a folder.")
    inside = {follower.path.resolve() for part in copy.parts for follower in part.followers}
    arrays = {
        name: path
        for path, name in list_files(folder)
        if name.endswith(_ARRAY) and path.resolve() not in inside
    }
    if not arrays and not inside:
        raise UsageError(f"--embeddings {folder} holds no {_ARRAY} file.")
    rows = [part for part in copy.parts if part.manifest]
    by_number: dict[int, list[Part]] = defaultdict(list)
    for part in rows:
        if (number := _number(part.name, "")) is not None:
            by_number[number].append(part)
    added: dict[str, list[ArrayRows]] = defaultdict(list)
    known = {path.resolve(): str(path) for path in copy.ignored}
    for name, path in arrays.items():
        number = _number(name, "")
        owners = (
            rows if len(rows) == 1 and number is None else by_number.get(-1 if number is None else number, [])
        )
        if len(rows) == 1 and not owners:
            owners = rows
        if len(owners) != 1:
            raise UsageError(
                f"{path}: no manifest, or more than one, ends in the same number, so its rows have no meaning."
            )
        added[owners[0].name].append(ArrayRows(path, f"{folder.resolve().name}/{name}"))
        known.pop(path.resolve(), None)
    parts = [replace(part, followers=(*part.followers, *added[part.name])) for part in copy.parts]
    left = [path for path in copy.ignored if path.resolve() in known]
    return replace(copy, parts=parts, ignored=left)


def _holds_samples(names: Iterable[str], *, described: bool) -> bool:
    endings: dict[str, set[str]] = defaultdict(set)
    for name in names:
        key, ending = sample_key(name)
        if key:
            endings[key].add(ending)
    return any(
        not found.isdisjoint(_IMAGES) and (described or not found.isdisjoint({META, TEXT}))
        for found in endings.values()
    )


def _stem(name: str) -> str:
    """A shard's name without the extensions of its format."""
    form, compression = split_extension(name)
    return name[: len(name) - len(form) - len(compression)]


def _closed(name: str) -> str:
    return next((reason for ending, reason in _CLOSED.items() if name.lower().endswith(ending)), "")


def _number(name: str, word: str) -> int | None:
    """The number at the end of a name, when the word before it ends so: 3 of `img_emb_0003.npy`."""
    last = PurePosixPath(name).name
    match = _NUMBERED.fullmatch(last.removesuffix(_ARRAY) if last.endswith(_ARRAY) else _stem(last))
    return int(match[2]) if match and match[1].endswith(word) else None


def _home(name: str) -> str:
    """The folder that holds a manifest and its arrays: their own, or that above `metadata/`, `img_emb/`, `text_emb/`."""
    folder = PurePosixPath(name).parent
    return str(folder.parent if folder.name == "metadata" or folder.name.endswith("_emb") else folder)
