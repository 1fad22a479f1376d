"""Texts that may be shown, logged and stored: without a password, in one line that can be read."""

import re
from urllib.parse import unquote

USERS = re.compile(r"://[^/:@]*:.*@", re.DOTALL)
"""`user:password@` in a URL; both may hold anything but their end."""
QUERIES = re.compile(r"(password|passwd|pwd|secret|token|api_?key|access_?key)[^=&;]*=", re.IGNORECASE)
"""A key of a URL's query, or of the connection string in it, whose value is a secret."""

LONGEST = 600
"""Characters of a message at most."""


def line(text: str) -> str:
    """The text in one line of at most 600 characters, its middle left out; what cannot be printed is escaped."""
    whole = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST * 2 // 3]} … {whole[3 - LONGEST // 3 :]}"


def redact(text: str) -> str:
    """The text with stars for `user:password` and for the query of every URL in it."""
    return re.sub(r"(://[^\s'\"?]*)\?[^\s'\"]*", r"\1?***", re.sub(r"://[^\s'\"]*@", "://***@", text))


def has_secret(url: str) -> bool:
    """Whether a URL holds a password or a token; a user's name alone is none."""
    query = unquote(url.partition("?")[2])
    return bool(USERS.search(url) or QUERIES.search(query))
