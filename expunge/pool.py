"""Work on many shards: in this process, in its threads, or in a pool of processes with one shared view of the progress."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, TypeVar, cast

from expunge.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from expunge.progress import Progress

Item = TypeVar("Item")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

Advance = Callable[[int], None]
"""Tells that so many more rows are done, or whatever else `total` counts."""

_POLL_SECONDS = 0.1


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, fullname: str, _path: object, _target: object = None, /) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(f"{fullname} is not used here", name=fullname)


def leave_pandas_out() -> None:
    """In a process of ours alone: keep PyArrow from importing pandas, which takes half a second and helps nobody here."""
    sys.meta_path.insert(0, _WithoutPandas())


def map_shards(
    work: Callable[[Shared, Item, Advance], Result],
    shared: Shared,
    items: Sequence[Item],
    *,
    workers: int,
    stage: str,
    total: int,
    progress: Progress,
) -> list[Result]:
    """Call `work(shared, item, advance)` for each item and return the results in the items' order.

    With `workers` above 1 the calls run in that many processes; `work`, `shared` and the items must then be
    picklable. The first error stops what has not begun and is raised. `total` is in rows, as `advance` counts.
    """
    progress(stage, 0, total)
    if workers == 1 or len(items) <= 1:
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            progress(stage, done, total)

        return [work(shared, item, advance) for item in items]

    # Memory that an allocator gives back after each column is faulted in again by the next: a fifth of a rewritten shard.
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "-1")
    # Threads of the parent must not be forked with it. The fork server has none and imports the engine once, so that
    # the processes of each stage start in no time.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "expunge.rewrite"])
    counter = context.Value(ctypes.c_int64)
    pool = ProcessPoolExecutor(
        min(workers, len(items)), mp_context=context, initializer=_start, initargs=(counter, work, shared)
    )
    try:
        futures = [pool.submit(_run, item) for item in items]
        return cast("list[Result]", _wait(futures, lambda: counter.value, stage, total, progress))
    except BrokenProcessPool as error:
        raise Interrupted(
            "A worker process was killed, most often because memory ran out. Start again with fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def map_threads(
    work: Callable[[Shared, Item, Advance], Result],
    shared: Shared,
    items: Sequence[Item],
    *,
    workers: int,
    stage: str,
    total: int,
    progress: Progress,
) -> list[Result]:
    """As `map_shards`, in threads of this process: for work that leaves the interpreter to others, as hashing does.

    No process has to start and nothing is sent. After an error, and on Ctrl-C, calls stop where they next tell of progress.
    """
    progress(stage, 0, total)
    done = [0] * len(items)
    stopped = threading.Event()

    def run(place: int) -> Result:
        def advance(count: int) -> None:
            if stopped.is_set():
                raise _StoppedError
            done[place] += count

        return work(shared, items[place], advance)

    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(run, place) for place in range(len(items))]
            return _wait(futures, lambda: sum(done), stage, total, progress)
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)


class _StoppedError(Exception):
    """Nobody waits for the result any more."""


def _wait(
    futures: Sequence[Future[Result]],
    done: Callable[[], int],
    stage: str,
    total: int,
    progress: Progress,
) -> list[Result]:
    """The results, or the first error, telling meanwhile how far it is: here, for whom it is told to may be of one thread."""
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_EXCEPTION)
        progress(stage, done(), total)
        for future in finished:
            future.result()
    return [future.result() for future in futures]


# What a process of the pool was started with.
_state: dict[str, object] = {}


def _start(counter: object, work: object, shared: object) -> None:
    leave_pandas_out()
    _state.update(counter=counter, work=work, shared=shared)
    # Ctrl-C reaches every process of the terminal. The parent tells of it; this one just ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its processes, and what they still write would be in the next run's way."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _run(item: object) -> object:
    work = cast("Callable[[object, object, Advance], object]", _state["work"])
    return work(_state["shared"], item, _advance)


def _advance(rows: int) -> None:
    counter = cast("multiprocessing.sharedctypes.Synchronized[int]", _state["counter"])
    with contextlib.suppress(OSError), counter.get_lock():
        counter.value += rows
