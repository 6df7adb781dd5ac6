"""How much honest text the injection check refuses, language by language.

    python bench/languages.py --data DIR

DIR holds translations of one set of messages as gettext files: DIR/**/locale/LANGUAGE/LC_MESSAGES/*.po, such as those
inside the wheel of Django.  The same messages in every language: what differs is the language alone.  Nothing of it had
a part in training.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import defaultdict
from pathlib import Path

from injection import share
from vallum.checks.prompt_injection.judge import Judge
from vallum.core.reading import read

MESSAGE = re.compile(r'^(msgid|msgstr(?:\[\d\])?) ((?:"[^\n]*"\n)+)', re.MULTILINE)
FEWEST, SHORTEST = 400, 12


def main() -> None:
    """Print a line for each language of which there are enough messages, those that are refused most first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    judge = Judge()
    thresholds = judge.model.user
    texts: dict[str, set[str]] = defaultdict(set)
    for path in sorted(arguments.data.glob("**/locale/*/LC_MESSAGES/*.po")):
        for kind, text in read_messages(path):
            # The English messages are the keys of every translation; one file of each kind holds them all.
            if len(text) >= SHORTEST and (kind == "msgid") == (path.parts[-3] == "en"):
                texts[path.parts[-3]].add(text)
    print("| language | messages | strict | balanced |\n|---|---|---|---|")
    lines = []
    for language, some in texts.items():
        if len(some) >= FEWEST:
            logits = [judge.judge(read(text)).logit for text in sorted(some)]
            hits = [sum(logit >= least for logit in logits) for least in (thresholds.strict, thresholds.balanced)]
            cells = " | ".join(share(hit, len(some)) for hit in hits)
            lines.append((language != "en", -hits[0] / len(some), f"| {language} | {len(some)} | {cells} |"))
    print("\n".join(line for *_, line in sorted(lines)))


def read_messages(path: Path) -> list[tuple[str, str]]:
    """Return the kind and the text of each message of a gettext file, without those that are not translated."""
    found = MESSAGE.findall(path.read_text(encoding="utf-8") + "\n")
    joined = [(kind, "".join(map(ast.literal_eval, quoted.split("\n")[:-1]))) for kind, quoted in found]
    return [(kind, text) for kind, text in joined if text]


if __name__ == "__main__":
    main()
