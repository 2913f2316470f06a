"""Copy the tree and put the tiny study into it: python -m tests.support.tiny FOLDER."""

import sys
from pathlib import Path

from tests.support.pipeline import clone, write_study

if __name__ == "__main__":
    tree = clone(Path(sys.argv[1]))
    write_study(tree, "tiny")
