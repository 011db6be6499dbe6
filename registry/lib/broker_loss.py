"""A worker that outlives its broker.

When the connection to the broker breaks, kombu closes its channels, and each tries to give the messages back that were
taken and not yet acknowledged: through a connection that is gone. In kombu 5.7.0 that ends in an AttributeError which
nobody expects, and in the end of the worker. Here such a channel closes without giving anything back. Nothing is lost:
the broker still has the messages and hands them out again, and what is due stands in the database, where beat finds it.
"""

from __future__ import annotations

from kombu.transport import redis


class Channel(redis.Channel):
    """As kombu's, but closed quietly when its connection was closed before it."""

    def close(self) -> None:
        """Close; give back what is not acknowledged only while there is somebody to give it to."""
        if self.connection is None or self.connection.client is None:
            self.do_restore = False
        super().close()


def outlive_the_broker() -> None:
    """Let every Redis or Valkey connection of this process use such channels."""
    redis.Transport.Channel = Channel
