"""The token that Ray's processes show one another: of a Ray on this machine, or of a cluster that wants one.

Ray writes one into the home folder when it first starts on a machine. From then on `ray start --head` wants it, but a
driver with an address sends it only if RAY_AUTH_MODE is `token`.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from sweep.errors import ConfigError

ANSWER_TIMEOUT_S = 15.0
"""Time in which a head must answer, the start of the asking process included; Ray itself would wait a minute."""
REFUSED = 3
"""Exit code of the asking process where the head wants a token, or another one."""
ASK_HEAD = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit({REFUSED})
except Exception as error:
    sys.exit(str(error).partition(chr(10))[0])
"""
"""Program that asks a head for its cluster; a process of its own, because Ray's C++ code prints lines and may hang."""


def check_token_file() -> None:
    """Refuse a RAY_AUTH_TOKEN_PATH in which Ray finds no token, on which it would abort; RAY_AUTH_TOKEN precedes it.

    Raises:
        ConfigError: it names no file, or an empty one.
    """
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if path and not os.environ.get("RAY_AUTH_TOKEN") and not _has_content(Path(path)):
        raise ConfigError(f"RAY_AUTH_TOKEN_PATH = {path!r} must be a file that holds Ray's token.")


def provide_local_token() -> None:
    """Give a Ray on this machine a token by the environment, where it can neither read nor write one at home."""
    variables = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & {*os.environ}
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token" and not variables and not _can_keep_token():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def adopt_token() -> bool:
    """Send this machine's token to clusters from now on; return False if it has none, or RAY_AUTH_MODE is set."""
    if "RAY_AUTH_MODE" in os.environ or not AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        return False
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")  # read from the environment when Ray was imported
    return True


def send_token(address: str) -> None:
    """Send the token of this machine from now on if the head at host:port wants one.

    Raises:
        ConfigError: the head wants another token than this machine has.
        OSError: no Ray answers there.
    """
    if _is_accepted(address) or (adopt_token() and _is_accepted(address)):
        return
    wanted = "another token" if os.environ.get("RAY_AUTH_MODE") == "token" else "a token"
    raise ConfigError(
        f"cluster.address = {address!r}: Ray answers there and wants {wanted}: set RAY_AUTH_MODE=token, and"
        " RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token that its head has in ~/.ray/auth_token, or to its file."
    )


def _can_keep_token() -> bool:
    """Return True if Ray can read its token in the home folder, or write one there."""
    try:
        file = Path.home() / ".ray" / "auth_token"
        file.parent.mkdir(parents=True, exist_ok=True)
        return _has_content(file) or os.access(file if file.exists() else file.parent, os.W_OK)
    except (OSError, RuntimeError):  # the latter where the user has no home
        return False


def _has_content(file: Path) -> bool:
    """Return True if this is a file with some text that this user can read."""
    try:
        return bool(file.read_bytes().strip())
    except OSError:
        return False


def _is_accepted(address: str) -> bool:
    """Return True if the head accepts this environment, False if it wants a token; raise OSError if it is no head."""
    command = [sys.executable, "-c", ASK_HEAD, address]
    try:
        asked = subprocess.run(  # noqa: S603 (no shell; the program is fixed)
            command, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"something listens, but is silent for {ANSWER_TIMEOUT_S:.0f} s") from None
    if asked.returncode not in (0, REFUSED):
        raise OSError((asked.stderr.strip().splitlines() or ["no reason given"])[-1])
    return asked.returncode == 0
