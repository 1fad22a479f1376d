"""Texts that may be shown, logged and stored: without a password."""

import re
from urllib.parse import unquote

USERS = re.compile(r"://[^/:@]*:.*@", re.DOTALL)
"""`user:password@` in a URL; both may hold anything but their end."""
QUERIES = re.compile(r"(password|passwd|pwd|secret|token|api_?key|access_?key)[^=&;]*=", re.IGNORECASE)
"""A key of a URL's query, or of the connection string in it, whose value is a secret."""


def redact(text: str) -> str:
    """The text with stars for `user:password` and for the query of every URL in it."""
    return re.sub(r"(://[^\s'\"?]*)\?[^\s'\"]*", r"\1?***", re.sub(r"://[^\s'\"]*@", "://***@", text))


def has_secret(url: str) -> bool:
    """Whether a URL holds a password or a token; a user's name alone is none."""
    query = unquote(url.partition("?")[2])
    return bool(USERS.search(url) or QUERIES.search(query))
