"""Which database a URL names, and whose it is: study and MLflow need one each, and an MLflow that can be there."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eval.shipped_configs import CONFIGS
from support.toys import config as toy_config
from sweep.errors import ConfigError
from sweep.plan.launch_plan import plan_new
from sweep.search.storage import open_studies
from sweep.services.databases import find_other_owner, is_same_database
from sweep.sync import main as sync
from sweep.tracking.address import check_tracking_uri, check_uri_kind

SMALL = [str(CONFIGS / "wga.yaml"), "data.forget=1", "data.retain=2", "data.holdout=1", "data.unseen=0"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tracked_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the tracking URI."""
    return lambda uri: monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)


def make(file: str, *tables: str) -> str:
    """A SQLite file with these tables; its URL."""
    with closing(sqlite3.connect(file)) as database:
        for table in tables:
            database.execute(f"create table {table} (x)")
    return f"sqlite:///{file}"


def content() -> dict[str, bytes]:
    """All files of the working directory."""
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://me@host/db", "postgresql+psycopg2://you:secret@HOST:5432/db"),
        ("postgresql+psycopg://127.0.0.1/db", "postgresql://localhost:5432/db?connect_timeout=3"),
        ("postgresql:///db", "postgresql://localhost/db"),
        ("postgresql:///db?host=/var/run/postgresql", "postgresql://::1/db".replace("::1", "[::1]")),
        ("postgresql://db@host", "postgresql://host/db"),
        ("mysql://host/db", "mysql+pymysql://host:3306/db"),
        ("sqlite:///one.db", "sqlite:///./sub/../one.db"),
        ("sqlite:///one.db", "sqlite:////HERE/one.db"),
        ("sqlite:///one.db", "sqlite+pysqlite:///file:one.db?uri=true"),
        ("sqlite:///one.db", "sqlite:///link.db"),
    ],
)
def test_one_database_under_two_urls(one: str, other: str, here: Path) -> None:
    """Driver, user, default port and the way to write a host or a path make no other database."""
    (here / "sub").mkdir()
    (here / "link.db").symlink_to(here / "one.db")
    assert is_same_database(one, other.replace("/HERE", str(here)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://host/db", "postgresql://host/other"),
        ("postgresql://host/db", "postgresql://other/db"),
        ("postgresql://host/db", "postgresql://host:5433/db"),
        ("postgresql://host/db", "mysql://host/db"),
        ("postgresql://host/db?options=-csearch_path%3Da", "postgresql://host/db?options=-csearch_path%3Db"),
        ("sqlite:///one.db", "sqlite:///two.db"),
        ("sqlite:///one.db", "no url"),
    ],
)
def test_two_databases(one: str, other: str) -> None:
    """Another name, host, port, kind, schema or file."""
    assert not is_same_database(one, other)


@pytest.mark.parametrize(
    ("tables", "for_optuna", "for_mlflow"),
    [
        ([], None, None),
        (["mine"], None, None),
        (["alembic_version", "mine"], "another program", "another program"),
        (["alembic_version", "experiments"], "MLflow", None),
        (["alembic_version", "studies"], None, "Optuna"),
        (["alembic_version", "studies", "experiments"], "MLflow", "Optuna"),
    ],
)
def test_the_owner_of_a_database(tables: list[str], for_optuna: str | None, for_mlflow: str | None) -> None:
    """Only one program can keep its version there; other tables are in nobody's way."""
    url = make("some.db", *tables)
    assert (find_other_owner(url, "Optuna"), find_other_owner(url, "MLflow")) == (for_optuna, for_mlflow)


def test_the_owner_of_no_database() -> None:
    """Looking creates no file."""
    assert find_other_owner("sqlite:///none.db", "Optuna") is None
    assert content() == {}


@pytest.mark.parametrize(
    "ledger", ["sqlite:///mlflow.db", "sqlite:///HERE/mlflow.db", "sqlite+pysqlite:///./mlflow.db"]
)
def test_a_ledger_in_mlflow_s_fresh_database(here: Path, ledger: str) -> None:
    """MLflow's default place is the working directory's mlflow.db; nothing is created."""
    said = r"^ledger = .*: MLflow's database is there; give the study one of its own\.$"
    with pytest.raises(ConfigError, match=said):
        plan_new([*SMALL, f"ledger={ledger.replace('HERE', str(here))}"], "one")
    assert content() == {}


def test_a_ledger_where_mlflow_is_already(tracked_at: Callable[[str], None], here: Path) -> None:
    """MLflow's own tables, whatever the tracking URI is now; not a byte changes."""
    tracked_at("http://127.0.0.1:1")
    make("one.db", "alembic_version", "experiments")
    before = content()
    with pytest.raises(ConfigError, match=r"/one\.db': MLflow's database is there; give the study one of its own\.$"):
        plan_new([*SMALL, f"ledger=sqlite:///{here}/one.db"], "one")
    assert content() == before


def test_mlflow_where_the_study_is_already(tracked_at: Callable[[str], None], here: Path) -> None:
    """A study's own tables, by launch and by sync; not a byte changes."""
    open_studies(toy_config(here, ledger=f"sqlite:///{here}/one.db"), "other")
    tracked_at(f"sqlite:///{here}/one.db")
    before = content()
    with pytest.raises(ConfigError, match=r"^MLFLOW_TRACKING_URI = .* is the database of Optuna: give MLflow one of"):
        plan_new(SMALL, "one")
    assert content() == before


def test_a_study_of_another_schema_is_one_sentence(here: Path) -> None:
    """Optuna refuses it with a RuntimeError."""
    config = toy_config(here, ledger=f"sqlite:///{here}/one.db")
    open_studies(config, "one")
    with closing(sqlite3.connect("one.db")) as database, database:
        database.execute("update alembic_version set version_num = 'v9'")
    with pytest.raises(ConfigError, match=r"^ledger = .*one\.db' cannot be opened: The runtime optuna version"):
        open_studies(config, "one")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("file:./mlruns", "is a folder, which MLflow 3 refuses as a store: allowed are http://HOST:PORT, "),
        ("./mlruns", "is a folder, "),
        ("mlruns", "is a folder, "),
        ("ftp://host/x", "has a scheme that MLflow does not know: "),
        ("postgres://host/db", "and databricks (nearest: postgresql)."),
        ("databricks-uc", "is a folder, "),
        ("http://", "names no server: it must be as http://HOST:PORT."),
        ("https:///path", "names no server"),
        ("http://host:port", "names no server"),
    ],
)
def test_a_uri_that_can_never_work(
    uri: str, says: str, tracked_at: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the value and what is allowed, for launch and sync; nothing is created."""
    tracked_at(uri)
    with pytest.raises(ConfigError) as caught:
        plan_new(SMALL, "one")
    assert str(caught.value).startswith(f"MLFLOW_TRACKING_URI = {uri!r} ") and says in str(caught.value)
    Path("scores.json").write_text('{"format": 1}')
    assert sync(["scores.json"]) == 2
    assert capsys.readouterr().err == f"error: {caught.value}\n"
    assert [*content()] == ["scores.json"]


def test_a_folder_that_mlflow_was_told_to_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own variable."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check_uri_kind("file:./mlruns")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mssql+nodriver://host/db", "cannot be opened: "),
        ("sqlite:////dev/null/mlflow.db", "must be a file that can be written, but /dev/null cannot"),
        ("sqlite:////proc/mlflow.db", "must be a file that can be written, but /proc cannot"),
        ("sqlite:///sub", "must be a file that can be written, but "),
        ("sqlite:///text.db", "cannot be opened: "),
    ],
)
def test_a_database_that_can_never_be_opened(
    uri: str, says: str, here: Path, tracked_at: Callable[[str], None]
) -> None:
    """No driver, no folder, a folder, another kind of file."""
    (here / "sub").mkdir()
    (here / "text.db").write_text("no database, but a text of some length" * 9)
    tracked_at(uri)
    with pytest.raises(ConfigError) as caught:
        check_tracking_uri()
    assert says in str(caught.value)


def test_a_server_that_does_not_answer_is_no_mistake(tracked_at: Callable[[str], None]) -> None:
    """It may come back while the sweep runs."""
    for uri in ("http://127.0.0.1:1", "postgresql://127.0.0.1:1/mlflow"):
        tracked_at(uri)
        check_tracking_uri()


def test_mlflow_in_a_folder_that_is_not_there_yet(here: Path, tracked_at: Callable[[str], None]) -> None:
    """It can be made, and MLflow makes it."""
    uri = f"sqlite:///{here}/new/deep/mlflow.db"
    tracked_at(uri)
    check_tracking_uri()
    assert content() == {}


def test_databricks_needs_a_workspace(
    here: Path, tracked_at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a variable or a profile in its file; without its package it never works."""
    monkeypatch.setenv("HOME", str(here))
    tracked_at("databricks")
    with pytest.raises(ConfigError, match=r"set DATABRICKS_HOST and DATABRICKS_TOKEN, or add the profile DEFAULT to /"):
        check_tracking_uri()
    (here / ".databrickscfg").write_text("[DEFAULT]\nhost = https://one\n[two]\nhost = https://two\n")
    check_tracking_uri()
    tracked_at("databricks://two")
    check_tracking_uri()
    tracked_at("databricks://three")
    with pytest.raises(ConfigError, match="add the profile three"):
        check_tracking_uri()
    monkeypatch.setenv("DATABRICKS_HOST", "https://one")
    check_tracking_uri()
    monkeypatch.setattr("sweep.tracking.address.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs the package databricks-sdk"):
        check_tracking_uri()
