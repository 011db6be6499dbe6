"""Addresses of Redis and Valkey: Celery's library and redis-py, which the cache uses, spell them differently."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


def cache_beside(broker_url: str) -> str:
    """Return redis-py's address of the database after the broker's, on the same server.

    Clearing a cache empties its whole database, so it is never the one that holds the queue.
    """
    url = urlsplit(broker_url)
    query = dict(parse_qsl(url.query))
    if url.scheme == "redis+socket":
        number = int(query.pop("virtual_host", 0))
        return f"unix://{url.path}?{urlencode({**query, 'db': number + 1})}"
    number = int(url.path.strip("/") or 0)
    return urlunsplit((url.scheme, url.netloc, f"/{number + 1}", url.query, ""))
