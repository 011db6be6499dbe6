"""The life of a release.

1. `release_build` (a person, or the schedule through `releases_due`) makes a draft version and starts a job.
2. `release_build_run` (the job) has the engine make, verify and sign the release, and records what it is.
3. `release_publish_start` starts the job in which `release_publish` checks everything once more and makes it public.
"""

from takedowns.releases.services.build import release_build, release_build_failed, release_build_run
from takedowns.releases.services.publish import (
    release_publish,
    release_publish_failed,
    release_publish_run,
    release_publish_start,
)
from takedowns.releases.services.schedule import releases_due

__all__ = [
    "release_build",
    "release_build_failed",
    "release_build_run",
    "release_publish",
    "release_publish_failed",
    "release_publish_run",
    "release_publish_start",
    "releases_due",
]
