"""``python -m dejavu VERB``."""

from dejavu.cli import main

if __name__ == "__main__":
    main()
