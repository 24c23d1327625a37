"""Make .venv, install the project, and train a small convolutional network on the scikit-learn digits.

Any argument goes to examples/digits.py: --epochs, --steps, --seed, --split, --out.
"""

import argparse
import subprocess
import sys

import _venv


def main() -> int:
    """Run the example; its last line is the accuracy on the test images, before and after reloading."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _, arguments = parser.parse_known_args()
    python = _venv.enter("scripts/demo", ["data", "plots"])
    return subprocess.run([python, str(_venv.ROOT / "examples" / "digits.py"), *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main())
