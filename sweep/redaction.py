"""Texts that may be shown, logged and stored: without a password."""

import re


def redact(text: str) -> str:
    """The text with stars for `user:password` and for the query of every URL in it."""
    return re.sub(r"(://[^\s'\"?]*)\?[^\s'\"]*", r"\1?***", re.sub(r"://[^\s'\"]*@", "://***@", text))
