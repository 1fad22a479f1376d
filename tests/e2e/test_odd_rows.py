"""A real sweep on odd rows, watched from outside: it ends well, and all that it makes is as the user's umask says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support import tofu
from support.commands import ROOT
from support.tofu import ODD

WORDS = [str(ROOT / "configs" / "wtnpo.yaml"), "data=tofu-forget01", "target.epochs=1", "train.epochs=1"]
WORDS += ["search.trials=1", "seeds=0", "eval.suite=full", "model.deepest=1", "--name", "made"]
WORDS += ["model.shape={layers: 2, hidden: 32, intermediate: 64, heads: 2, vocabulary: 300}"]


def odd_rows(folder: Path) -> Path:
    """A folder in which rows of each part hold odd text, one of them long."""
    splits = tofu.toy()
    letters = iter("HIJKLMNOPQRSTUVWXYZ")
    for part, odd in zip(["forget01", "retain99"] * 5, ODD, strict=True):
        splits[part].append({"question": f"{next(letters)}{odd}?", "answer": odd})
    splits["retain99"].append({"question": "long", "answer": " ".join(["word"] * 300)})
    for row in splits["forget01"][2:]:
        splits["forget01_perturbed"].append(tofu.varied("A") | row | {"perturbed_answer": [row["answer"]]})
    splits["unseen"] = [tofu.plain("Z"), {"question": "\u200b", "answer": "\u200b"}]
    splits["full"] = splits["forget01"] + splits["retain99"]
    return tofu.write(folder, splits)


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_a_sweep_on_odd_rows_leaves_what_the_umask_allows(tmp_path: Path, umask: int) -> None:
    """Finished trials with finite scores; no file or folder is open to those whom the umask shuts out."""
    rows, work = odd_rows(tmp_path / "rows"), tmp_path / "work"
    work.mkdir()
    with TemporaryDirectory(prefix="ray-") as logs:
        done = subprocess.run(  # noqa: S603 (our own)
            [sys.executable, "-m", "sweep.launch", *WORDS, f"data.path={rows}", "data.unseen=unseen"],
            cwd=work,
            env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": logs},
            umask=umask,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((work / "runs" / "made" / "summary.json").read_text())["trials"]["finished"] == 1
    made = {str(path.relative_to(work)): path.stat().st_mode & 0o777 for path in work.rglob("*")}
    assert {"mlflow.db", "mlruns", "runs/made/report.html", "runs/made/study.db", "runs/made/plots"} <= made.keys()
    assert any(path.startswith("runs/.artifacts/") and path.endswith("model.safetensors") for path in made)
    assert {path: oct(mode) for path, mode in made.items() if mode & umask} == {}
    assert {path.suffix for path in rows.iterdir()} == {".json"}
