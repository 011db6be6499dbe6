"""Copies: what people hold of a dataset, found, judged and changed whatever its layout.

    copy = find_copy([Path("my-images")])
    for part in judge_copy(copy, release_folder, release, ...): ...

A copy is parts. A part is a manifest (any shard), and what follows it: a tar or a folder of samples, embeddings, counts.
Only the manifest is judged; the rest follows by sample key or by place. A new layout is one subclass of `Follower` or
`Samples` and its lines in `find.py`. `expunge.apply` writes the parts, into a new folder or in place (`targets.py`).
"""

from expunge.copies.find import Copy, find_copy
from expunge.copies.judge import JudgedPart, Source, judge_copy
from expunge.copies.part import Change, Going, Part

__all__ = ["Change", "Copy", "Going", "JudgedPart", "Part", "Source", "find_copy", "judge_copy"]
