"""The fixtures of `tests.project.world`, and the keys that its releases are signed with."""

from tests.project.world import world
from tests.takedowns.released import keys

__all__ = ["keys", "world"]
