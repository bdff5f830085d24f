"""How long it takes until something can be done: fresh processes in turn, seconds of wall time.

    python -m benchmarks.imports [--rounds 9]

`import zoo`, `import torch`, and the first `zoo.create_model` of a process; the last as a ratio of `import torch`. The
first round does not count: there Python writes its bytecode, also where the environment forbids it otherwise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "pass": "pass",
    "import zoo": "import zoo",
    "import torch": "import torch",
    "create_model": "import zoo; zoo.create_model('gpt-nano')",
    "zoo --help": "from zoo.cli.main import main; main(['--help'])",
}


def main() -> None:
    """Prints medians with their spread, and the ratio of neighbours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for round_number in range(arguments.rounds + 1):
        for name, statement in STATEMENTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True, stdout=subprocess.DEVNULL, env=environment)
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        print(f"{name:14} {statistics.median(values):6.3f} s [{min(values):.3f} to {max(values):.3f}]")
    ratios = [mine / other for mine, other in zip(seconds["create_model"], seconds["import torch"], strict=True)]
    print(f"create_model / import torch: {statistics.median(ratios):.3f} [{min(ratios):.3f} to {max(ratios):.3f}]")


if __name__ == "__main__":
    main()
