"""Redaction of texts before they are shown, logged or stored: no passwords, one printable line, no markup."""

import re
from urllib.parse import unquote

URL_PASSWORD_PATTERN = re.compile(r"://[^/:@]*:.*@", re.DOTALL)
"""`user:password@` in a URL; the user ends at the first `:`, the password at the last `@`."""
SECRET_QUERY_PATTERN = re.compile(r"(password|passwd|pwd|secret|token|api_?key|access_?key)[^=&;]*=", re.IGNORECASE)
"""Key with a secret value in a URL's query, or in the connection string inside it."""

MAX_MESSAGE_CHARS = 600
"""Maximum length of a message in characters."""


def to_single_line(text: str) -> str:
    """Return the text as one line of at most 600 characters: escape the unprintable, cut a long text in its middle."""
    whole = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return (
        whole
        if len(whole) <= MAX_MESSAGE_CHARS
        else f"{whole[: MAX_MESSAGE_CHARS * 2 // 3]} … {whole[3 - MAX_MESSAGE_CHARS // 3 :]}"
    )


def escape_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it letter for letter, as one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~$])", r"\\\1", to_single_line(text))


def redact(text: str) -> str:
    """Replace `user:password` and the query of every URL in the text by stars."""
    return re.sub(r"(://[^\s'\"?]*)\?[^\s'\"]*", r"\1?***", re.sub(r"://[^\s'\"]*@", "://***@", text))


def has_secret(url: str) -> bool:
    """Return True if a URL holds a password or a token; a user name alone is no secret."""
    query = unquote(url.partition("?")[2])
    return bool(URL_PASSWORD_PATTERN.search(url) or SECRET_QUERY_PATTERN.search(query))
