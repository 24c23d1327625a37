"""Make .venv, install the project, and build the documentation in site/; a broken link is an error."""

import argparse
import os
import subprocess
import sys

import _venv


def main() -> int:
    """Build the site, or show it while its pages are being written."""
    parser = argparse.ArgumentParser(prog="scripts/docs", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--serve", action="store_true", help="show it at http://127.0.0.1:8000, anew after every change"
    )
    options = parser.parse_args()
    python = _venv.enter("scripts/docs", ["docs"])
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # a notice about the theme's successor, not about our pages
    command = [python, "-m", "mkdocs", "serve" if options.serve else "build", "--strict"]
    try:
        return subprocess.run(command, cwd=_venv.ROOT).returncode
    except KeyboardInterrupt:  # the way to end --serve
        return 130


if __name__ == "__main__":
    sys.exit(main())
