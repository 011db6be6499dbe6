"""What can go wrong, in sentences for the person who must act on it.

Every message names the file, row or field and what to do. The command line prints it to stderr and leaves with
`exit_code`; the server shows it on a page. Messages never repeat a URL or a text from a row: ids and line numbers travel,
values stay.
"""


class ExpungeError(Exception):
    """One or more plain sentences for a person."""

    exit_code = 127


class UsageError(ExpungeError):
    """Wrong arguments, or arguments that cannot be used together."""

    exit_code = 2


class Interrupted(ExpungeError):  # noqa: N818  it names what happened
    """Work that was stopped by its surroundings, not by what it works on: started again, it may go on."""


class BadShard(ExpungeError):  # noqa: N818  it names what is bad; every class here is an error
    """A shard that cannot be read. `path` says which."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message, path)  # both, so that it can be sent from one process to another
        self.path = path

    def __str__(self) -> str:
        return str(self.args[0])


class BadList(ExpungeError):  # noqa: N818  as above
    """A removal list, or one entry of it, that cannot be read."""


class VerificationFailed(ExpungeError):  # noqa: N818  as above
    """Something is not what it says it is. `differences` lists what was found, the first ones first."""

    exit_code = 1

    def __init__(self, message: str, differences: list[str] | None = None) -> None:
        super().__init__(message)
        self.differences = [message] if differences is None else differences
