"""Errors that end a command, a sweep or a trial with a sentence for the user."""

from typing import TYPE_CHECKING

from sweep.redaction import line, redact

if TYPE_CHECKING:
    pass


class ConfigError(ValueError):
    """The user's configuration is wrong; the message is one sentence with the key, the value and what is allowed."""

    def __init__(self, message: str) -> None:
        """Say it in one line, without the passwords of the URLs in it."""
        super().__init__(line(redact(message)))


RAN_OUT = "memory ran out"
"""How the reason begins of a trial whose memory ran out: its process lived to say so."""


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` came. Not an Exception, which Ray Tune would take for a failure of its own."""

    def __init__(self, signum: int) -> None:
        """Keep the signal's number."""
        super().__init__(signum)
        self.signum = signum


class BrokenOffError(BaseException):
    """Something broke that a sweep needs: it ends here and can go on later. No Exception either.

    The message is a sentence without its end.
    """


class ProcessDiedError(Exception):
    """One of a trial's processes died: another try may go well."""
