"""The token of Ray: made where the home cannot hold one, sent where a head wants one, else one sentence."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from support.toys import config as toy_config
from sweep.cluster import access_token
from sweep.cluster.access_token import provide_local_token, send_token
from sweep.cluster.connection import connect_ray
from sweep.errors import ConfigError

ADDRESS = "127.0.0.1:6477"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home, and no variable of Ray; Ray's own idea of both is as before at the end."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    AuthenticationTokenLoader.instance().reset_cache()
    yield tmp_path
    monkeypatch.undo()
    AuthenticationTokenLoader.instance().reset_cache()
    Config.initialize("")


def keep_token(home: Path, text: str = "0123456789abcdef0123456789abcdef") -> None:
    """Write the file in which Ray keeps its token."""
    (home / ".ray").mkdir(exist_ok=True)
    (home / ".ray" / "auth_token").write_text(text)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str | None]]:
    """Answers instead of a head, one code after the other; gives the modes in which it was asked."""

    def answer(*codes: int, said: str = "") -> list[str | None]:
        modes, left = list[str | None](), iter(codes)

        def ask(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
            modes.append(os.environ.get("RAY_AUTH_MODE"))
            return subprocess.CompletedProcess(command, next(left), "", said)

        monkeypatch.setattr("sweep.cluster.access_token.subprocess.run", ask)
        return modes

    return answer


def test_a_home_that_can_hold_a_token(own_home: Path) -> None:
    """Ray writes it there itself; an empty file counts as none."""
    provide_local_token()
    keep_token(own_home, "")
    provide_local_token()
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("home", ["/proc", "/dev/null/home"])
def test_a_home_that_cannot_be_written(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in the environment of this process and its Ray alone."""
    monkeypatch.setenv("HOME", home)
    provide_local_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with any user id."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    provide_local_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(
    ("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "own"), ("RAY_AUTH_TOKEN_PATH", "/some/file")]
)
def test_what_the_user_set_stays(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the home is."""
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setenv(name, value)
    provide_local_token()
    assert os.environ.get("RAY_AUTH_TOKEN") == (value if name == "RAY_AUTH_TOKEN" else None)


def test_a_head_without_a_token(own_home: Path, head: Callable[..., list[str | None]]) -> None:
    """Nothing is sent, also where there is something to send: its workers would not send it back."""
    keep_token(own_home)
    asked = head(0)
    send_token(ADDRESS)
    assert asked == [None] and "RAY_AUTH_MODE" not in os.environ


def test_a_head_that_wants_the_token_of_the_home(own_home: Path, head: Callable[..., list[str | None]]) -> None:
    """It is asked again with the token, and accepts it."""
    keep_token(own_home)
    asked = head(access_token.REFUSED, 0)
    send_token(ADDRESS)
    assert asked == [None, "token"]


@pytest.mark.parametrize(
    ("has", "mode", "codes", "wants"),
    [
        (False, None, [3], "a token"),
        (True, None, [3, 3], "another token"),
        (True, "disabled", [3], "a token"),
        (True, "token", [3], "another token"),
    ],
)
def test_a_head_that_wants_what_is_not_there(
    own_home: Path,
    head: Callable[..., list[str | None]],
    monkeypatch: pytest.MonkeyPatch,
    has: bool,
    mode: str | None,
    codes: list[int],
    wants: str,
) -> None:
    """No token, another one, or none by the user's will: one sentence with what to set."""
    if has:
        keep_token(own_home)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    head(*codes)
    with pytest.raises(ConfigError) as caught:
        send_token(ADDRESS)
    assert str(caught.value) == (
        f"cluster.address = '{ADDRESS}': Ray answers there and wants {wants}: set RAY_AUTH_MODE=token, and"
        " RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token that its head has in ~/.ray/auth_token, or to its file."
    )


def test_what_is_no_head(head: Callable[..., list[str | None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line that it said, or that it says nothing for too long."""
    head(1, said="some C++\nRPC error: 404\n")
    with pytest.raises(OSError, match=r"^RPC error: 404$"):
        send_token(ADDRESS)

    def hang(command: Sequence[str], timeout: float, **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr("sweep.cluster.access_token.subprocess.run", hang)
    with pytest.raises(OSError, match=r"^something listens, but is silent for 15 s$"):
        send_token(ADDRESS)


def test_a_token_s_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray would abort the process; a token in the environment precedes it."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/no/file")
    cluster = toy_config(tmp_path).cluster.model_copy(update={"address": "127.0.0.1:1"})
    with pytest.raises(
        ConfigError, match=r"^RAY_AUTH_TOKEN_PATH = '/no/file' must be a file that holds Ray's token\.$"
    ):
        connect_ray(cluster).__enter__()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "own")
    with pytest.raises(ConfigError, match="no Ray answers there"):
        connect_ray(cluster).__enter__()
