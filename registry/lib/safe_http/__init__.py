"""The one door to the outside world: no other module of the server speaks HTTP, and ruff refuses those that try.

What comes from outside decides where this process connects to: a link in a dataset, the address of a webhook, a
redirect, an answer of a name server. So every request, and every redirect on its way, goes through the same steps:

1. `urls` reads the URL strictly and hands on one spelling of it, so that who checks and who dials mean the same host.
2. `resolver` asks the name servers itself; libcurl and the C library never look a name up.
3. `addresses` judges every answer. One that is not an ordinary public address refuses the whole name.
4. The caller's `before_dial` may still say no: that is how an excluded link is never contacted.
5. `transfers` and `handles` connect to the judged address and no other, judged once more where the socket is made.

Sizes and times are limited throughout; nothing is decoded, no cookie, proxy, credential or `.netrc` is used, and
certificates are verified. `docs/design/outgoing-http.md` has the reasons.

    async with Client(Policy.from_settings()) as client:      # many requests in flight
        result = await client.fetch(Request("https://example.com/1.jpg", headers={"Range": "bytes=0-65535"}))

    result = fetch(Request(url, method="POST", headers={...}, body=payload))      # one, from plain code

A result is a `Response` (an answer of whatever status) or a `Refused` (none, and the rule or failure that is why).
Neither raises for anything that a URL, a name server or a server does. `check` and `redirected` are the URL gate by
itself, for who follows redirects himself; they raise `Stop`.
"""

from registry.lib.safe_http.client import Client, fetch
from registry.lib.safe_http.policy import Policy
from registry.lib.safe_http.results import (
    REDIRECTS,
    Headers,
    Hop,
    Limits,
    Outcome,
    Refused,
    Request,
    Response,
    Stop,
)
from registry.lib.safe_http.urls import check, redirected

__all__ = [
    "REDIRECTS",
    "Client",
    "Headers",
    "Hop",
    "Limits",
    "Outcome",
    "Policy",
    "Refused",
    "Request",
    "Response",
    "Stop",
    "check",
    "fetch",
    "redirected",
]
