"""Every preset against its battery: what is taken that should be, and refused that should not.

    python bench/battery.py [--preset NAME]...

Needs the package and the batteries in tests/.  Valid requests were written by hand from public API references;
near-misses are valid requests made wrong in one thing, by hand or by a generator that knows the preset's schema.
Exit code 1 if a valid request is refused, a near-miss taken, or one refused with another code than it should be.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.presets.batteries import BATTERIES, near_misses_of, verdict_of, written


def hold(preset: str) -> Counter[str]:
    """Send a preset its battery, and count what became of it."""
    count: Counter[str] = Counter()
    for item in BATTERIES[preset]:
        code = verdict_of(preset, item, *written(item)).partition(":")[0]
        wanted = item.get("refused", "allow")
        count["valid" if wanted == "allow" else "by hand"] += 1
        count[wanted] += wanted != "allow"
        if code != wanted:
            count["false refusals" if wanted == "allow" else "taken" if code == "allow" else "other code"] += 1
    for item, miss in near_misses_of(preset):
        code = verdict_of(preset, item, miss.body, miss.fields).partition(":")[0]
        count["generated"] += 1
        count[miss.code] += 1
        if code != miss.code:
            count["taken" if code == "allow" else "other code"] += 1
    return count


COLUMNS = ("valid", "false refusals", "by hand", "generated", "taken", "other code")


def main() -> int:
    """Print a line a preset, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", choices=list(BATTERIES), action="append")
    total: Counter[str] = Counter()
    print(f"{'preset':28}" + "".join(f"{column:>16}" for column in COLUMNS))
    for preset in parser.parse_args().preset or BATTERIES:
        count = hold(preset)
        total += count
        print(f"{preset:28}" + "".join(f"{count[column]:16,}" for column in COLUMNS), flush=True)
    print(f"{'all':28}" + "".join(f"{total[column]:16,}" for column in COLUMNS))
    codes = {code: amount for code, amount in total.most_common() if code not in COLUMNS and code != "allow"}
    print("near-misses by the code that they must have:", ", ".join(f"{n:,} {code}" for code, n in codes.items()))
    return 1 if total["false refusals"] + total["taken"] + total["other code"] else 0


if __name__ == "__main__":
    sys.exit(main())
