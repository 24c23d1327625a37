"""Time minidl side by side with PyTorch, if installed: interleaved rounds, each contender in fresh processes.

Parts: train, infer, ops (against PyTorch and the machine's own limit), layers (each by itself and its limit),
growth (of the cost of a convolution), overhead (of a call, against NumPy), memory (growth of the peak),
files (against safetensors, on the disk of TMPDIR), import (against NumPy's).
Markdown goes to the terminal, raw timings to --json. Close everything else first: stretches in which other
processes use the cores are dropped and repeated, and that can take a while.
"""

import argparse
import datetime
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _bench import machine, report, tables
from _bench.layers import GROWTH, NETWORKS
from _bench.workloads import FILES, OVERHEAD_BARS, WORKLOADS

ROOT = Path(__file__).resolve().parents[1]
WORKER = ["-m", "_bench.worker"]
PARTS = ("train", "infer", "ops", "layers", "growth", "overhead", "memory", "files", "import")
IMPORTS = 5  # per round
MOST_DROPPED = 4  # series of imports, before a disturbed one is taken
IMPORT_CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"

Group = tuple[str, str, list[str]]  # kind, name, contenders: one comparison


def groups(parts: list[str], torch: bool, only: str) -> list[Group]:
    """Return the comparisons of some parts, those whose name contains a text."""
    peers = ["minidl", "torch"] if torch else ["minidl"]
    out: list[Group] = [("time", workload.name, peers) for workload in WORKLOADS if workload.part in parts]
    if "layers" in parts:
        out += [("layers", f"{name} layers", peers) for name in NETWORKS]
    if "growth" in parts:
        out += [("growth", f"growth with {series}", peers) for series in GROWTH]
    if "overhead" in parts:
        out.append(("overhead", "overhead", ["numpy", *OVERHEAD_BARS]))
    if "memory" in parts:
        out.append(("memory", "VGG-like step, batch 256", peers))
        out += [("memory", f"convolution, kernel {kernel}", ["minidl"]) for kernel in (3, 7)]
    if "files" in parts:
        theirs = importlib.util.find_spec("safetensors") is not None
        out += [("files", name, all_of_them if theirs else ["minidl"]) for name, all_of_them in FILES.items()]
    if "import" in parts:
        out.append(("import", "import", ["numpy", *peers]))
    out = [group for group in out if only.lower() in group[1].lower()]
    if any(kind in ("time", "layers") for kind, _, _ in out):
        out = [("probe", "product", ["numpy"]), ("probe", "copy", ["numpy"]), *out]
    return out


def run_round(number: int, selected: list[Group], quick: bool, environment: dict[str, str]) -> list[Any]:
    """Run every comparison once; the order of the contenders turns round with every round."""
    results = []
    for kind, name, contenders in selected:
        for contender in contenders[:: -1 if number % 2 else 1]:
            print(f"round {number + 1}: {name}, {contender}", file=sys.stderr, flush=True)
            if kind == "import":
                out = _import(contender, quick, environment)
            else:
                mode = "quick" if quick else "full"
                out = json.loads(_output([*WORKER, kind, contender, name, mode], environment))
            head = {"kind": kind, "name": name, "contender": contender, "round": number}
            results += [{**head, **row} for row in out.get("rows", [out])]
    return results


def _import(module: str, quick: bool, environment: dict[str, str]) -> dict[str, Any]:
    """Time an import in new processes, again if others took the cores meanwhile."""
    code, count = IMPORT_CODE.format(module), 1 if quick else IMPORTS
    dropped = 0
    while True:
        load, times = machine.foreign_load(
            lambda: [float(_output(["-c", code], environment)) for _ in range(count)]
        )
        disturbed = load is not None and load > machine.ALLOWED
        if quick or not disturbed or dropped == MOST_DROPPED:
            return {"times": times, "dropped": dropped, "disturbed": disturbed, "watched": load is not None}
        dropped += 1


def _output(command: list[str], environment: dict[str, str]) -> str:
    """Run Python in a new process and return what it printed; its own words on a failure."""
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} failed\n{done.stderr}")
    return done.stdout.strip().rpartition("\n")[2]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds; return the tables, the notes and the raw timings."""
    torch = options.torch and importlib.util.find_spec("torch") is not None
    rounds = 1 if options.quick else options.rounds
    selected = groups(options.parts or list(PARTS), torch, options.only)
    results: list[Any] = []
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts"), *inherited]),
    }
    with tempfile.TemporaryDirectory() as caches:
        if any(kind == "import" for kind, _, _ in selected):
            environment["PYTHONPYCACHEPREFIX"] = caches  # bytecode is cached wherever the packages lie
        modules = ["numpy", "minidl", *["torch"] * torch]  # asking for the versions fills the cache
        versions = {
            module: json.loads(_output([*WORKER, "version", module, "-", "-"], environment))
            for module in modules
        }
        for number in range(rounds):
            results += run_round(number, selected, options.quick, environment)
    version = versions["torch"]["version"] if torch else None
    parts = options.parts or list(PARTS)
    made = report.tables(results, parts) + tables.tables(results, parts)
    if options.quick:
        for table in made:
            table.withhold_verdicts()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": versions,
        "notes": report.notes(results, version, options.quick, rounds) + tables.notes(parts),
        "tables": [vars(table) for table in made],
        "results": results,
    }


def markdown(outcome: dict[str, Any]) -> str:
    """Return the head, the notes and the tables of a run."""
    facts = [f"{name} {value}" for name, value in outcome["machine"].items()]
    facts += [f"{name} {found['version']}" for name, found in outcome["versions"].items()]
    if "torch" in outcome["versions"]:
        facts.append(f"PyTorch's threads {outcome['versions']['torch']['threads']}")
    written = [report.Table(**table).markdown() for table in outcome["tables"]]
    notes = [f"- {note}" for note in outcome["notes"]]
    return "\n".join(
        [f"## minidl benchmark, {outcome['date']}", "", "; ".join(facts), "", *notes, "", *written]
    )


def main() -> int:
    """Print the report of the parts that the command line names."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only workloads whose name contains this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write tables and raw timings to a file")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="leave PyTorch out")
    parser.add_argument("--quick", action="store_true", help="one round of two steps, to see that it runs")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part: {', '.join(unknown)}; expected some of {', '.join(PARTS)}")
    if options.rounds < 1:
        parser.error("--rounds: expected at least 1")
    outcome = run(options)
    print(markdown(outcome))
    if options.json:
        options.json.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
