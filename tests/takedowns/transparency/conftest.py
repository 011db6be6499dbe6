"""The fixtures of `tests.takedowns.released`."""

from tests.takedowns.released import keys, published, setting, verified

__all__ = ["keys", "published", "setting", "verified"]
