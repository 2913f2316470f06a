"""Temporary copies of the tree, in which the pipeline runs on a tiny study."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from dejavu.config.generated import render_params
from tests.support.studies import tiny_params

ROOT = Path(__file__).parents[2]
# Tools are those of the environment that runs the tests, and git needs an author.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "DVC"))} | {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    **{f"GIT_{who}_NAME": "test" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "test@localhost" for who in ("AUTHOR", "COMMITTER")},
    "DVC_NO_ANALYTICS": "1",
}


def run(tree: Path, *command: str, expect: int = 0) -> str:
    """Run a command in a tree; return all that it said."""
    done = subprocess.run(
        command,
        cwd=tree,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == expect, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def clone(folder: Path) -> Path:
    """Copy what git knows, or would on `git add`, as a repository of its own."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "clone")
    return folder


def write_study(tree: Path, name: str = "default", **changes: object) -> None:
    """Put a tiny study of that name where the default study is."""
    params = tiny_params(study=name, **changes)
    (tree / "params" / f"{name}.yaml").write_text(render_params(params))
    if name == "default":  # whose code hashes DVC's stages depend on
        run(tree, "python", "-m", "dejavu", "phases", "--write")
