"""libcurl: many transfers on one thread, each to one judged address.

All sockets are watched by one epoll, and the event loop watches that epoll alone: a ready socket costs one system call
and one call into libcurl, not a callback of asyncio's.

A transfer cannot leave its address: CONNECT_TO sends every connection there, the function that opens the socket refuses
any other address, the pool of connections is keyed by it, and just before a request is sent, on a new connection or an
old one, the address at its other end is compared once more.
"""

from __future__ import annotations

import asyncio
import math
import select
from contextlib import suppress
from typing import TYPE_CHECKING

import pycurl

from registry.lib.safe_http.handles import Handle
from registry.lib.safe_http.results import Stop

if TYPE_CHECKING:
    from registry.lib.safe_http.policy import Policy
    from registry.lib.safe_http.results import Method, Request
    from registry.lib.safe_http.urls import Target

_WATCH = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
    pycurl.POLL_NONE: 0,
}
# Each set of events that the epoll reports, as libcurl has it.
_READY = [
    (pycurl.CSELECT_IN if events & select.EPOLLIN else 0)
    | (pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0)
    | (pycurl.CSELECT_ERR if events & (select.EPOLLERR | select.EPOLLHUP) else 0)
    for events in range((select.EPOLLIN | select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP) + 1)
]
_REMOVE: int = pycurl.POLL_REMOVE


class Transfers:
    """All transfers of one client, in one event loop."""

    def __init__(self, policy: Policy, *, pool_size: int) -> None:
        self.policy = policy
        self._loop = asyncio.get_running_loop()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_MAXCONNECTS, pool_size)
        self._multi.setopt(pycurl.M_PIPELINING, 0)
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        # What the epoll watches each socket for, which then need not be said again. Forgotten when a socket is opened: it
        # may have the number of one that was closed since, of which the epoll then knows nothing any more.
        self._registered: dict[int, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = math.inf
        self._wakes_soon = False
        self._running: dict[pycurl.Curl, Handle] = {}
        self._idle: dict[Method, list[Handle]] = {"GET": [], "HEAD": [], "POST": []}
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    def close(self) -> None:
        """End all transfers and close every connection; whoever waits for one is cancelled."""
        for handle in list(self._running.values()):
            handle.done.cancel()
            self._multi.remove_handle(handle.curl)
        self._running.clear()
        self._multi.close()
        for handles in self._idle.values():
            for handle in handles:
                handle.curl.close()
            handles.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def dial(
        self, target: Target, address: str, *, request: Request, lines: list[str], seconds: float
    ) -> Handle:
        """Ask `target` at `address`, which was judged, sending header `lines`; `seconds` is what is left of the whole time.

        The handle's `done` then has the answer, or raises Stop with the outcome, or OSError when this process cannot open
        a socket at all. Whoever stops waiting for it calls `abandon`. Raises CancelledError once all transfers were ended.
        """
        if self._multi.closed:
            raise asyncio.CancelledError  # as those whom `close` found waiting
        idle = self._idle[request.method]
        handle = idle.pop() if idle else Handle(self.policy, request.method, self._opened)
        handle.prepare(target, address, request=request, lines=lines, seconds=seconds)
        handle.done = self._loop.create_future()
        self._running[handle.curl] = handle
        self._multi.add_handle(handle.curl)
        if not self._wakes_soon:
            self._wake_soon()
        return handle

    def abandon(self, handle: Handle) -> None:
        """End a transfer that nobody waits for any more."""
        # Where the answer came in the same moment, the handle is idle by now, or at work for another; or `close` was first.
        if handle.done.cancelled() and self._running.pop(handle.curl, None) is not None:
            self._multi.remove_handle(handle.curl)
            handle.curl.close()

    def _opened(self, descriptor: int) -> None:
        self._registered.pop(descriptor, None)

    def _watch(self, what: int, descriptor: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """Libcurl says which of its sockets to watch, and for what."""
        if what == _REMOVE:
            # Mostly a connection that goes back to the pool and is soon used again, or is about to be closed, which the
            # kernel notices by itself: so the epoll keeps it until it has something to say.
            self._watched.discard(descriptor)
            return
        self._watched.add(descriptor)
        wanted = _WATCH[what]
        before = self._registered.get(descriptor)
        if wanted == before:
            return
        self._registered[descriptor] = wanted
        if before is None:
            self._epoll.register(descriptor, wanted)
        else:
            self._epoll.modify(descriptor, wanted)

    def _plan(self) -> None:
        """Let libcurl be called when it next wants to be, whether or not a socket is ready by then.

        It is asked once after each turn of work. To be told at every change (TIMERFUNCTION) would take two calls for each
        request. The event loop's timer is left alone where the time is later than before, and set anew when it fires too
        early, which is cheaper than to cancel one for every request.
        """
        milliseconds = self._multi.timeout()
        if milliseconds <= 0:  # -1: not at all; 0: now
            self._wake_at = math.inf
            if milliseconds == 0 and not self._wakes_soon:
                self._wake_soon()
            return
        self._wake_at = self._loop.time() + milliseconds / 1000
        if self._timer is None:
            self._timer = self._loop.call_at(self._wake_at, self._on_timer)
        elif self._wake_at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._wake_at, self._on_timer)

    def _wake_soon(self) -> None:
        """Let libcurl be called in the next turn of the event loop."""
        self._wakes_soon = True
        self._loop.call_soon(self._on_soon)

    def _on_soon(self) -> None:
        self._wakes_soon = False
        self._on_time()

    def _on_timer(self) -> None:
        self._timer = None
        if self._wake_at <= self._loop.time():
            self._on_time()
        elif self._wake_at < math.inf:
            self._timer = self._loop.call_at(self._wake_at, self._on_timer)

    def _on_time(self) -> None:
        if not self._multi.closed:
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._collect()
            self._plan()

    def _on_ready(self) -> None:
        act = self._multi.socket_action
        watched = self._watched
        for descriptor, event in self._epoll.poll(0):
            if descriptor in watched:
                act(descriptor, _READY[event])
            else:
                self._registered.pop(descriptor, None)
                with suppress(OSError):
                    self._epoll.unregister(descriptor)
        self._collect()
        self._plan()

    def _collect(self) -> None:
        """Hand results to those who wait for them."""
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read(256)
            for curl in succeeded:
                self._finish(curl, 0)
            for curl, number, _text in failed:
                self._finish(curl, number)

    def _finish(self, curl: pycurl.Curl, error: int) -> None:
        handle = self._running.pop(curl)
        self._multi.remove_handle(curl)
        if handle.done.cancelled():
            # `abandon` comes too late, and must not find the handle at work for another.
            curl.close()
            return
        try:
            handle.done.set_result(handle.answer(error))
        except (Stop, OSError) as failure:
            handle.done.set_exception(failure)
        handle.forget()
        self._idle[handle.method].append(handle)
