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

if TYPE_CHECKING:
    from registry.lib.safe_http.handles import Answer
    from registry.lib.safe_http.policy import Policy
    from registry.lib.safe_http.results import Limits, Method
    from registry.lib.safe_http.urls import Target

_WATCH = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
    pycurl.POLL_NONE: 0,
}


class Transfers:
    """All transfers of one client, in one event loop."""

    def __init__(self, policy: Policy, *, pool_size: int) -> None:
        self.policy = policy
        self._loop = asyncio.get_running_loop()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, pool_size)
        self._multi.setopt(pycurl.M_PIPELINING, 0)
        self._epoll = select.epoll()
        self._watched: set[int] = set()
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

    async def dial(
        self,
        target: Target,
        address: str,
        *,
        method: Method,
        headers: list[str],
        body: bytes,
        limits: Limits,
        seconds: float,
    ) -> Answer:
        """Ask `target` at `address`, which was judged; `seconds` is what is left of the whole time.

        Raises Stop with the outcome, and OSError when this process cannot open a socket at all.
        """
        idle = self._idle[method]
        handle = idle.pop() if idle else Handle(self.policy, method)
        handle.prepare(target, address, headers=headers, body=body, limits=limits, seconds=seconds)
        handle.done = self._loop.create_future()
        curl = handle.curl
        self._running[curl] = handle
        self._multi.add_handle(curl)
        try:
            error = await handle.done
        except asyncio.CancelledError:
            if self._running.pop(curl, None) is not None:  # else `close` was first
                self._multi.remove_handle(curl)
            curl.close()
            raise
        try:
            return handle.answer(error)
        finally:
            handle.forget()
            idle.append(handle)

    def _watch(self, what: int, descriptor: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """Libcurl says which of its sockets to watch, and for what."""
        if what == pycurl.POLL_REMOVE:
            # Mostly a connection that goes back to the pool and is soon used again, or is about to be closed, which the
            # kernel notices by itself: so the epoll keeps it until it has something to say.
            self._watched.discard(descriptor)
            return
        self._watched.add(descriptor)
        try:
            self._epoll.modify(descriptor, _WATCH[what])
        except FileNotFoundError:
            self._epoll.register(descriptor, _WATCH[what])

    def _set_timer(self, milliseconds: int) -> None:
        """Libcurl says when it wants to be called without any socket being ready, in place of what it said before.

        Mostly it wants to be called later than before: the event loop's timer is left alone then, and set anew when it
        fires too early, which is cheaper than to cancel one for every request.
        """
        if milliseconds <= 0:  # -1: not at all; 0: now, but not from within its own callback
            self._wake_at = math.inf
            if milliseconds == 0 and not self._wakes_soon:
                self._wakes_soon = True
                self._loop.call_soon(self._on_soon)
            return
        self._wake_at = self._loop.time() + milliseconds / 1000
        if self._timer is None:
            self._timer = self._loop.call_at(self._wake_at, self._on_timer)
        elif self._wake_at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._wake_at, self._on_timer)

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

    def _on_ready(self) -> None:
        act = self._multi.socket_action
        for descriptor, event in self._epoll.poll(0):
            if descriptor not in self._watched:
                with suppress(OSError):
                    self._epoll.unregister(descriptor)
                continue
            mask = 0
            if event & select.EPOLLIN:
                mask = pycurl.CSELECT_IN
            if event & select.EPOLLOUT:
                mask |= pycurl.CSELECT_OUT
            if event & (select.EPOLLERR | select.EPOLLHUP):
                mask |= pycurl.CSELECT_ERR
            act(descriptor, mask)
        self._collect()

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
        if not handle.done.done():
            handle.done.set_result(error)
