"""A Hugging Face hub over real HTTP: repositories with commits, and a branch that moves."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import ClassVar

import pytest

API = re.compile(r"/api/(models|datasets)/([\w.-]+/[\w.-]+?)(?:/(revision|tree)/([\w.-]+)/?)?(?:\?.*)?")
FILE = re.compile(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)")


@dataclass
class Hub:
    """The repositories of a hub, and the requests to it.

    Attributes:
        commits: the files of each commit, keyed by repository (`models/OWNER/NAME` or `datasets/OWNER/NAME`) and hash.
        main: the commit to which each repository's branch points.
        asked: the paths that were requested.
        address: the URL of the hub.
    """

    commits: dict[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict)
    main: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def push(self, repository: str, folder: Path) -> str:
        """Add a commit with the files of a folder, move the branch to it, and return its hash."""
        files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        digest = hashlib.sha1(repr((repository, sorted(files.items()))).encode()).hexdigest()  # noqa: S324 (as git's)
        self.commits[repository, digest] = files
        self.main[repository] = digest
        return digest

    def answer(self, path: str) -> tuple[bytes, str] | None:
        """Return body and commit for a path, None for an unknown path."""
        self.asked.append(path)
        if found := API.fullmatch(path):
            kind, name, what, revision = found.groups()
            return self._described(f"{kind}/{name}", what, revision or "main")
        if found := FILE.fullmatch(path):
            kind, name, revision, file = found.groups()
            repository = f"{'datasets' if kind else 'models'}/{name}"
            commit = self._commit(repository, revision)
            files = self.commits.get((repository, commit), {})
            return (files[file], commit) if file in files else None
        return None

    def _commit(self, repository: str, revision: str) -> str:
        return self.main.get(repository, "") if revision == "main" else revision

    def _described(self, repository: str, what: str | None, revision: str) -> tuple[bytes, str] | None:
        commit = self._commit(repository, revision)
        files = self.commits.get((repository, commit))
        if files is None:
            return None
        tree = [
            {"type": "file", "path": path, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}  # noqa: S324
            for path, body in files.items()
        ]
        siblings = [{"rfilename": path} for path in files]
        info = {"id": repository.partition("/")[2], "sha": commit, "siblings": siblings}
        return json.dumps(tree if what == "tree" else info).encode(), commit


class Handler(BaseHTTPRequestHandler):
    """Handler of GET and HEAD requests."""

    hub: ClassVar[Hub]

    def do_GET(self) -> None:
        """Send headers and body."""
        if (found := self._head()) is not None:
            self.wfile.write(found)

    def do_HEAD(self) -> None:
        """Send the headers alone."""
        self._head()

    def _head(self) -> bytes | None:
        found = self.hub.answer(self.path)
        self.send_response(404 if found is None else 200)
        body, commit = found or (b"", "")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')  # noqa: S324
        self.send_header("X-Repo-Commit", commit)
        if found is None:
            known = any(repository.partition("/")[2] in self.path for repository in self.hub.main)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.end_headers()
        return None if found is None else body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Log nothing."""


@contextmanager
def served() -> Iterator[Hub]:
    """Serve an empty hub on a free port until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def used(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path, *, offline: bool = False) -> list[float]:
    """Point huggingface_hub at a hub and a cache; `offline` is HF_HUB_OFFLINE=1.

    Retries come without a pause; the list that is returned fills with the seconds that they would have paused.
    """
    pauses: list[float] = []
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=pauses.append))
    return pauses
