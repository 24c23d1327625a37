"""Write the golden file: results of PyTorch for a few settings of every layer, loss and optimizer.

The tests read it where PyTorch is not installed. Run this again after a row of a table in tests/conformance
was added or changed.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Draw, compute and write; return 1 if PyTorch is missing."""
    parser = argparse.ArgumentParser(
        prog="scripts/golden.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=3, help="settings for each row (default: 3)")
    count = parser.parse_args().count
    sys.path.insert(0, str(ROOT))
    try:
        import torch
    except ModuleNotFoundError:
        print("scripts/golden.py: PyTorch is missing; install it with: pip install -e '.[torch,testing]'")
        return 1
    from tests.conformance import stored

    torch.set_num_threads(1)
    records = list(stored.drawn(torch, count))
    stored.write(records)
    path = stored.PATH.relative_to(ROOT).as_posix()
    print(f"{path}: {len(records)} cases, {stored.PATH.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
