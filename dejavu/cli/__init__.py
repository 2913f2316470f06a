"""``python -m dejavu VERB``, called by the workflow's rules and by hand.

Each verb calls one function. Heavy imports happen inside the verbs, so that ``--help`` is quick.
"""

import errno
import io
import os
import sys

import typer

from dejavu.cli import checkpoints, data, runs, study
from dejavu.cli.adoption import adopt
from dejavu.cli.computing import Computing, Training
from dejavu.cli.options import RootOption
from dejavu.cli.provenance import why
from dejavu.cli.reproduction import compare, spread
from dejavu.runtime.errors import DejaVuError

app = typer.Typer(
    help="DejaVu: conditional regenerative learning for dense prediction.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.command()(data.rooms)
app.command()(runs.text_pair)
app.command(cls=Training)(runs.train)
app.command(cls=Computing)(runs.evaluate)
for measure, kind in runs.MEASUREMENTS.items():
    app.command(cls=kind)(measure)
app.command()(study.tables)
app.command()(study.figures)
app.command()(study.report)
app.command()(study.readme)
app.command()(study.gallery)
app.command("params")(study.show_params)
app.command()(study.phases)
app.command()(adopt)
app.command()(why)
app.command()(compare)
app.command()(spread)
app.command()(checkpoints.predict)
app.command("save")(checkpoints.save_run)
app.command()(checkpoints.score)
app.command("strip")(checkpoints.strip_checkpoint)
app.command()(checkpoints.onnx)

_FIXES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "remount it writable",
    errno.EACCES: "change its permissions",
    errno.EEXIST: "name another folder: this is a file",
    errno.ENOTDIR: "name another folder: this is below a file",
    errno.EISDIR: "name a file: this is a folder",
    errno.ENAMETOOLONG: "shorten it",
}


@app.callback()
def _root(root: RootOption = None) -> None:
    """Set the folder of the study's data set, before the verb."""
    from dejavu.datasets.reading.roots import use_root

    use_root(root)


def main() -> None:
    """Run the command line; a user's mistake is a message and exit code 1, not a traceback."""
    os.environ.pop("MPLBACKEND", None)  # figures are files: no verb opens a window
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an arrow must not end a verb in a Latin-1 locale
            stream.reconfigure(errors="backslashreplace")
    try:
        if sys.flags.optimize > 1:
            raise DejaVuError("PYTHONOPTIMIZE=2 (-OO) removes texts that results have: unset it")
        app()
    except (DejaVuError, ImportError) as error:  # an ImportError names the missing extra
        typer.echo(f"dejavu: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _FIXES:
            raise
        fix = f"{_FIXES[error.errno]}, then run the same command again: it continues"
        typer.echo(f"dejavu: {error.filename}: {error.strerror}; {fix}", err=True)
        sys.exit(1)
