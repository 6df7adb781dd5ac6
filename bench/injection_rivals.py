"""What the prompt-injection check finds beside others, at equal false positives, and what each costs.

    python bench/injection_rivals.py --data DIR --venvs DIR [--picture FILE]

Each package lives in an environment of its own below --venvs, as some exclude each other; none is needed by Vallum:

    python -m venv VENVS/agentbastion        and  VENVS/agentbastion/bin/pip install agentbastion==0.14.0
    python -m venv VENVS/ai_injection_guard  and  ... install ai-injection-guard==0.3.0
    python -m venv VENVS/inferwall           and  ... install inferwall==0.1.11
    python -m venv VENVS/prompt_armor        and  ... install prompt-armor==0.9.1
    VENVS/node/package                       npm pack @claude-flow/aidefence@3.0.3, unpacked

What is absent is said to be and left out.  Judged are the rows of `dev.jsonl` whose source has no row in train, as
in injection.py.  A threshold "at 1 %" is set for each detector by itself, on these rows, at the loosest score that
refuses no more than 1 % of the honest ones; a detector that cannot be made so strict finds nothing there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from injection import BY_ROLE, share

HERE = Path(__file__).parent / "rivals"
OURS = "vallum"
PACKAGES = {
    "agentbastion": "agentbastion 0.14.0",
    "ai_injection_guard": "ai-injection-guard 0.3.0",
    "inferwall": "inferwall 0.1.11, `lite`",
    "prompt_armor": "prompt-armor 0.9.1, without downloads",
}
TITLES = {"four_patterns": "four patterns", **PACKAGES, "aidefence": "@claude-flow/aidefence 3.0.3", OURS: "**Vallum**"}
RATES = {"1 %": 0.01, "0.1 %": 0.001}
LIMIT_S = 500
LENGTHS = {"150 B": 150, "1 kB": 1000, "32 kB": 32_000}


class Said(NamedTuple):
    """What one detector said of every text."""

    scores: np.ndarray
    flags: np.ndarray
    spans_us: np.ndarray


def main() -> None:
    """Print the tables, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--venvs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with (arguments.data / "dev.jsonl").open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if not row["source_in_train"]]
    rows = [row for row in rows if row["label"] or row["source"] not in BY_ROLE]
    attacks = np.array([row["label"] == 1 for row in rows])
    texts = [row["text"] for row in rows]
    probes = probe_texts([row["text"] for row in rows if not row["label"]])
    found = {}
    for name, command in commands(arguments.venvs).items():
        said = ask(name, command, texts + list(probes.values()))
        if said is not None:
            found[name] = said
    judged = {name: Said(*(part[: len(texts)] for part in said)) for name, said in found.items()}
    curves = {name: [attacks_found(said, attacks, rate) for rate in RATES.values()] for name, said in judged.items()}
    print_found(judged, attacks, curves)
    print_speed(probes, {name: said.spans_us[len(texts) :] for name, said in found.items()})
    if arguments.picture is not None:
        draw(arguments.picture, judged, curves, int(attacks.sum()))


def commands(venvs: Path) -> dict[str, list[str]]:
    """Return how each detector that is there is asked; complain of what is absent."""
    judge = str(HERE / "judge.py")
    known = {"four_patterns": [sys.executable, judge, "four_patterns"]}
    known |= {name: [str(venvs / name / "bin" / "python"), judge, name] for name in PACKAGES}
    known["aidefence"] = ["node", str(HERE / "aidefence.mjs"), str(venvs / "node" / "package")]
    known[OURS] = [sys.executable, judge, OURS]
    for name, command in list(known.items()):
        needed = Path(command[-1] if name == "aidefence" else command[0])
        if not needed.exists():
            print(f"ABSENT: {TITLES[name]}: {needed} is not there; the head of this script says how to install it")
            del known[name]
    return known


def ask(name: str, command: list[str], texts: list[str]) -> Said | None:
    """Have one detector judge all texts, in a process of its own."""
    try:
        run = subprocess.run(
            command, input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
    except (subprocess.SubprocessError, OSError) as error:
        print(f"FAILED: {TITLES[name]}: {error}\n{(getattr(error, 'stderr', None) or '')[-500:]}")
        return None
    return Said(*(np.array(part) for part in zip(*json.loads(run.stdout), strict=True)))


def attacks_found(said: Said, attacks: np.ndarray, rate: float) -> int:
    """Return the attacks found where at most `rate` of the honest texts are refused."""
    honest = np.sort(said.scores[~attacks])[::-1]
    most = int(rate * len(honest))
    return int((said.scores[attacks] > honest[most]).sum())


def print_found(judged: dict[str, Said], attacks: np.ndarray, curves: dict[str, list[int]]) -> None:
    """Print what each finds at equal rates, at its own setting, and what Vallum finds at the rate of that setting."""
    count, honest = int(attacks.sum()), int((~attacks).sum())
    print(f"\n{count} attacks, {honest} honest prompts.\n")
    print(
        "| detector | found at 1 % | found at 0.1 % | its own setting: found | refused | Vallum at that rate"
        " | median | p99 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, said in judged.items():
        refused = int(said.flags[~attacks].sum())
        beside = attacks_found(judged[OURS], attacks, refused / honest)
        cells = [share(hits, count) for hits in curves[name]]
        cells += [f"{said.flags[attacks].mean():.1%}", f"{refused / honest:.1%}"]
        cells += ["" if name == OURS else f"{beside / count:.1%}", *(f"{span:,.0f} us" for span in cost(said.spans_us))]
        print(f"| {TITLES[name]} | " + " | ".join(cells) + " |")
    for index, rate in enumerate(RATES):
        best = max((hits[index], name) for name, hits in curves.items() if name != OURS)
        ratio = curves[OURS][index] / max(best[0], 1)
        print(f"\nAt {rate} Vallum finds {ratio:.1f} times what the best of the others finds, {TITLES[best[1]]}.")


def cost(spans_us: np.ndarray) -> tuple[float, float]:
    """Return the median and the 99th of a hundred."""
    return float(np.median(spans_us)), float(np.quantile(spans_us, 0.99))


def probe_texts(texts: list[str]) -> dict[str, str]:
    """Return honest text of three lengths, of ASCII alone and with letters beyond it."""
    plain = " ".join(text for text in texts if text.isascii())
    probes = {}
    for name, size in LENGTHS.items():
        ascii_text = plain[5000 : 5000 + size]
        probes[f"{name}, ASCII"] = ascii_text
        probes[f"{name}, beyond ASCII"] = ascii_text.replace("e", "\u00e9").replace("'", "\u2019")
    return probes


def print_speed(probes: dict[str, str], spans_us: dict[str, np.ndarray]) -> None:
    """Print the time for texts of several lengths, and its ratio to that of Vallum."""
    print("\n| CPU us, and as a multiple of Vallum's | " + " | ".join(probes) + " |\n|---" + "|---" * len(probes) + "|")
    for name, spans in spans_us.items():
        cells = [f"{span:,.0f} ({span / ours:.2g})" for span, ours in zip(spans, spans_us[OURS], strict=True)]
        print(f"| {TITLES[name]} | " + " | ".join(cells) + " |")


def draw(file: Path, judged: dict[str, Said], curves: dict[str, list[int]], count: int) -> None:
    """Draw what is found at both rates, and the time it takes."""
    import matplotlib as mpl  # only who draws needs it

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "vallum", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    order = sorted(judged, key=lambda name: (name == OURS, *curves[name]))
    places = np.arange(len(order))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.5, 3.0), width_ratios=(3, 2), sharey=True, layout="constrained"
    )
    for index, (rate, shift, strength) in enumerate(zip(RATES, (0.2, -0.2), (1.0, 0.45), strict=True)):
        shares = [100 * curves[name][index] / count for name in order]
        colours = ["C2" if name == OURS else "C0" for name in order]
        left.barh(places + shift, shares, 0.38, color=colours, alpha=strength)
        for place, value in zip(places + shift, shares, strict=True):
            left.annotate(f" {value:.0f} % at {rate}", (value, place), va="center", fontsize=7, color="0.3")
    left.set(xlabel="% of attacks found", xlim=(0, 100))
    left.set_yticks(places, [TITLES[name].strip("*").split(",")[0] for name in order])
    for place, name in zip(places, order, strict=True):
        median, tail = cost(judged[name].spans_us)
        right.plot([median, tail], [place, place], color="C2" if name == OURS else "C0", marker="|", linewidth=3)
    right.set(xscale="log", xlabel="CPU us a text, median to 99th of 100")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
