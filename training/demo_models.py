"""Train the two models of the demo's sample upstream, score them and write them with their card.

    python training/demo_models.py --data DIR

DIR holds `train.jsonl` and `dev.jsonl`: one object a line with `text`, `label`, `source` and `licence`.  Rows labelled
as attacks and rows under a share-alike licence are never read.  The first file trains, the second only scores.
The same files give the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from array import array
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import compress, crc32

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "src" / "vallum" / "demo"
sys.path.insert(0, str(ROOT / "src"))

from vallum.demo import chat, classifier  # the package of this checkout, installed or not

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CLASSIFIER_LICENCES = {"CC0-1.0", "MIT", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0"}
CHAT_LICENCES = {"CC0-1.0", "MIT", "Apache-2.0"}

BUCKETS = 16384
EPOCHS = 30
BATCH = 256
LEARNING_RATE = 0.03
DECAY = 1e-4  # of the weights, a step
SMOOTHING = 0.05  # of the labels: a softmax that is never quite sure has confidences worth banding

Row = dict[str, Any]


class Example(NamedTuple):
    """A text and the class it belongs to."""

    text: str
    kind: str


def read_rows(path: Path, licences: set[str]) -> list[Row]:
    """Read the benign rows of `path` whose licence is one of `licences`."""
    with path.open(encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["label"] == 0 and row["licence"] in licences]


# --- the classifier ---------------------------------------------------------------------------------------------------

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_PROSE = re.compile(r"\b[A-Za-z][a-z]+(?: [A-Za-z][a-z'-]+,?){4}")
_PERSONA = re.compile(r"\b(?:act as|role-?play|pretend|you are|you're|imagine you|the role of)\b|^you\b", re.IGNORECASE)
_CODING = re.compile(
    r"\b(?:code|function|script|program|python|java|javascript|html|css|sql|c\+\+|bash|php)\b", re.IGNORECASE
)
_ASKING = re.compile(
    r"^(?:what|how|why|when|where|who|which|can|could|is|are|do|does|did|should)\b.*\?\s*$", re.IGNORECASE | re.DOTALL
)

CLASSES = ("banking", "code", "documentation", "instruction", "persona", "question")


def kind_of(row: Row) -> str | None:
    """Name the class of a row by its source, or None where the row is not a clean case of it."""
    source, text = row["source"], row["text"]
    match source:
        case "banking77":
            return "banking"
        case "code" | "gpteacher-code":
            return "code" if len(text) > 40 else None
        case "docs-gateway" | "docs-security" | "docs-cookbook":
            return "documentation" if _PROSE.search(_FENCE.sub("", text)) else None  # else it is all code
        case "awesome-prompts" | "system-prompts-mustvlad":
            return "persona" if _PERSONA.search(text[:400]) else None
        case "gpteacher" | "fuzzyai-benign" | "vanguard-benign" | "open-assistant":
            return _prompt_kind(text, personas=source == "gpteacher")
    return None


def _prompt_kind(text: str, *, personas: bool) -> str | None:
    if _PERSONA.search(text):
        return "persona" if personas else None
    if _ASKING.match(text):
        return "question"
    return None if _CODING.search(text) or text.rstrip().endswith("?") else "instruction"


def examples(rows: Iterable[Row]) -> list[Example]:
    """Give every row that has a class."""
    return [Example(row["text"], kind) for row in rows if (kind := kind_of(row))]


def vectors(found: list[np.ndarray]) -> np.ndarray:
    """Set the found buckets of each text and bring its vector to length 1: texts x BUCKETS."""
    batch = np.zeros((len(found), BUCKETS), np.float32)
    for row, indices in zip(batch, found, strict=True):
        row[indices] = 1.0 / math.sqrt(max(1, len(indices)))
    return batch


def fit(texts: list[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Train a softmax by Adam, every class weighing the same; return weights (BUCKETS x classes) and biases."""
    random = np.random.default_rng(0)
    found = [np.fromiter(classifier.buckets(text, BUCKETS), np.int64) for text, _ in texts]
    kinds = np.array([CLASSES.index(kind) for _, kind in texts])
    share = len(kinds) / (len(CLASSES) * np.bincount(kinds))
    wanted = np.full((len(CLASSES), len(CLASSES)), SMOOTHING / len(CLASSES)) + (1 - SMOOTHING) * np.eye(len(CLASSES))
    weights = np.zeros((BUCKETS + 1, len(CLASSES)), np.float32)  # the last row is the bias
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    step = 0
    for _ in track(range(EPOCHS), "classifier"):
        order = random.permutation(len(texts))
        for at in range(0, len(order), BATCH):
            step += 1
            rows = order[at : at + BATCH]
            inputs = np.pad(vectors([found[row] for row in rows]), ((0, 0), (0, 1)), constant_values=1.0)
            chances = softmax(inputs @ weights)
            errors = (chances - wanted[kinds[rows]]) * share[kinds[rows], None] / len(rows)
            slope = inputs.T @ errors + DECAY * weights
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
            weights -= LEARNING_RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weights[:-1], weights[-1]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn each row of logits into probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write_classifier(weights: np.ndarray, biases: np.ndarray) -> None:
    """Round the weights to a byte each and write them after a line of JSON."""
    scale = float(np.abs(weights).max()) / 127
    table = np.rint(weights.T / scale).astype(np.int8).tobytes()
    header = {
        "version": f"text-kind-1-{crc32(table):08x}",
        "classes": CLASSES,
        "buckets": BUCKETS,
        "scale": scale,
        "biases": [round(float(bias), 6) for bias in biases],
    }
    (DEMO / classifier.WEIGHTS).write_bytes(json.dumps(header).encode() + b"\n" + table)


def confusion(texts: list[Example]) -> Counter[tuple[str, str]]:
    """Count (true class, predicted class) with the weights as written."""
    model = classifier.Classifier()
    return Counter((kind, model.predict(text)["prediction"]) for text, kind in texts)


class ClassScore(NamedTuple):
    """How one class did: `texts` of it, and shares from 0 to 1."""

    kind: str
    texts: int
    recall: float
    precision: float


def class_scores(counts: Counter[tuple[str, str]]) -> list[ClassScore]:
    """Score every class that has texts."""
    scores = []
    for kind in CLASSES:
        texts = sum(number for (true, _), number in counts.items() if true == kind)
        named = sum(number for (_, said), number in counts.items() if said == kind)
        if texts:
            scores.append(ClassScore(kind, texts, counts[kind, kind] / texts, counts[kind, kind] / max(1, named)))
    return scores


def accuracy(counts: Counter[tuple[str, str]]) -> float:
    """Return the share of right answers, 0 to 1."""
    return sum(number for (true, said), number in counts.items() if true == said) / counts.total()


# --- the chat model ---------------------------------------------------------------------------------------------------

CHAT_SOURCES = {"awesome-prompts", "docs-gateway", "docs-security", "gpteacher", "open-assistant"}
PAIR_DISCOUNT = 0.9
TRIPLE_DISCOUNT = 0.9

# A model without sense would treat some subjects badly: people, bodies, belief, conflict, crime.  A sentence that
# touches one goes, and so do those about pictures, which say nothing without one, and about products by name.
_UNWANTED = re.compile(
    r"kill|bomb|drug|suicid|porn|weapon|murder|poison|hate|racis|sex|nud[ei]|terror|jailbr|malware|violen|blood|attack"
    r"|exploit|illegal|crim|abus|toxic|harm|offense|offence|offensive|profan|hack|fraud|scam|threat|death"
    r"|dead|die[sd]?\b|wars?\b|gun|steal|theft|victim|child|kid|bab[iy]|religio|god|politic|gender|ethnic"
    r"|bikini|skin|wom[ae]n|girl|lingerie|breast|body|lips|hair|cloth|dress|jacket|password|secret|injection|harass|discrimin|self-|racial|bias|bully|extreme"
    r"|destroy|vulnerab|malicious|wife|husband|kiss|tattoo|alcohol|beer|wine|cigar|gambl|casino|stupid|idiot|damn"
    r"|hell\b|crap|shit|fuck|ass\b|disinform|misinform|jihad|holy|kaaba|smok|adversar|red team"
    r"|image|photo|camera|lens|lighting|shot|cinema|texture|vector|background|poster|scene|outfit|render|cop[iy]|inject"
    r"|drunk|cocktail|femme|findom|sensual|seduc|erotic|hostag|horror|hijack|hostile|islam|buddha|sacred|junk|slave|nazi"
    r"|tortur|massacr|shame|injur|burn|corpse|afghan|syria|yemen|sudan|peta\b|unhcr"
    r"|\b(?:el|los|las|una|como|para|citas|der|ein|und)\b"  # not English
    r"|nemo|deepteam|deepeval|litellm|confident|llm[ -]guard|colang|hugging|abc|fenaspe|dolly|vicuna",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,'-]+\.")
_STATEMENT = set(
    "a additionally all although an and another any as at avoid because before both but by consider during each"
    " ensure every finally first for from here how however if in include instead it its keep make many most next no"
    " not on once one only our over second several since so some that the then there these they this those through"
    " to under unlike use using we what when where while with within without you your".split()
)
_ORDER = set(
    "act answer ask assume begin build compose construct convert create describe design do draft explain generate give"
    " help i imagine implement list output pretend refactor respond return roleplay show start take tell translate turn"
    " update wait write".split()
)
_TO_THE_READER = re.compile(
    r"you (?:are|will|have been|were|must|need|should|want)\b|you're|you've|your (?:task|goal|job|role|mission)"
    r"|(?:as an? |you find|you receive|in this (?:role|scenario|prompt))"
    r"|.*, (?:write|describe|explain|implement|provide|create|sketch|guide|give|share|discuss|convince)\b"
    r"|.*\b(?-i:NO|NOT|MUST|ONLY)\b"
    r"|.*\b(?:i|i'm|my|me|as if|act as|user|prompt|following|below|above|she|her|his|he|him|please)\b",
    re.IGNORECASE,
)
_MARKUP = (
    (_FENCE, ""),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),  # links keep their words
    (re.compile(r"[*`\"\u201c\u201d]"), ""),
    (re.compile("\u2019"), "'"),
    (re.compile(r" ?\([^()]*\)"), ""),
    (re.compile(r"^\s*(?:[-#>|]+|\d+[.)])?\s*(?:[A-Z][\w -]{2,40}: (?=[A-Z]))?", re.MULTILINE), ""),  # bullets, labels
)


def sentences(rows: Iterable[Row]) -> list[list[str]]:
    """Find the plain, clean statements in the rows, each once, as words and commas."""
    kept: dict[tuple[str, ...], None] = {}
    for row in rows:
        if row["source"] in CHAT_SOURCES:
            for sentence in _split(row["text"]):
                if _fits(sentence, prompt=row["source"] in {"gpteacher", "open-assistant"}):
                    kept[tuple(re.findall(r"[\w'-]+|,", sentence))] = None
    return [list(words) for words in kept]


def _split(text: str) -> Iterator[str]:
    for pattern, plain in _MARKUP:
        text = pattern.sub(plain, text)
    for line in text.splitlines():
        yield from re.split(r"(?<=[.!?])\s+", line.strip())


def _fits(sentence: str, *, prompt: bool) -> bool:
    """Keep what could stand in an answer: a statement or advice.  A `prompt` is mostly orders to the model."""
    if not _SENTENCE.fullmatch(sentence) or not 5 <= len(sentence.split()) <= 30 or _UNWANTED.search(sentence):
        return False
    if re.search(r"(?<!\w)'|'(?!\w)", sentence):
        return False  # a quotation: a trigram loses its other end
    opening = re.split(r"[ ,]", sentence.lower())[0]
    states = opening in _STATEMENT or opening.endswith("ing") if prompt else opening not in _ORDER
    return states and not _TO_THE_READER.match(sentence)


def truecase(corpus: list[list[str]]) -> list[list[str]]:
    """Write the first word of each sentence as it is mostly written elsewhere, lower case where it is not."""
    written = Counter(word for sentence in corpus for word in sentence[1:])
    forms: dict[str, str] = {}
    for word, _ in written.most_common():
        forms.setdefault(word.lower(), word)
    return [[forms.get(first.lower(), _lower(first)), *rest] for first, *rest in corpus]


def _lower(word: str) -> str:
    return word if word.isupper() and len(word) > 1 else word.lower()


def write_chat(corpus: list[list[str]]) -> None:
    """Count words, pairs and triples and write them as a trie: how many follow each, which, and how often."""
    singles = Counter(word for sentence in corpus for word in sentence)
    words = [".", *(word for word, _ in sorted(singles.items(), key=lambda item: (-item[1], item[0])))]
    numbers = {word: number for number, word in enumerate(words)}
    pairs: Counter[tuple[int, ...]] = Counter()
    triples: Counter[tuple[int, ...]] = Counter()
    for sentence in corpus:
        path = [chat.END, *(numbers[word] for word in sentence), chat.END]
        pairs.update(pairwise(path))
        triples.update(zip(path, path[1:], path[2:], strict=False))
    counts = array("H", [len(corpus), *(singles[word] for word in words[1:])])
    arrays = [counts, *level(pairs, [(number,) for number in range(len(words))]), *level(triples, sorted(pairs))]
    header = {
        "words": words,
        "discounts": [PAIR_DISCOUNT, TRIPLE_DISCOUNT],
        "arrays": [(numbers.typecode, len(numbers)) for numbers in arrays],
    }
    body = b"".join(little_endian(numbers) for numbers in arrays)
    (DEMO / chat.COUNTS).write_bytes(compress(json.dumps(header).encode() + b"\n" + body, 9))


def level(counted: Counter[tuple[int, ...]], contexts: list[tuple[int, ...]]) -> tuple[array[int], ...]:
    """Lay n-grams out behind their contexts: how many follow each context, the last words, the counts."""
    fans = Counter(gram[:-1] for gram in counted)
    grams = sorted(counted)
    return (
        array("H", [fans[context] for context in contexts]),
        array("H", [gram[-1] for gram in grams]),
        array("H", [counted[gram] for gram in grams]),
    )


def little_endian(numbers: array[int]) -> bytes:
    """Give the bytes of `numbers`, the same on every machine."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


class ChatScore(NamedTuple):
    """How well held-out text is foreseen: perplexity over its known words, and the share of unknown ones."""

    perplexity: float
    unigram_perplexity: float
    words: int
    unknown: float


def chat_score(corpus: list[list[str]]) -> ChatScore:
    """Score the counts as written on sentences that were not counted; a known word after an unknown one is skipped."""
    model = chat.ChatModel()
    numbers = {word: number for number, word in enumerate(model.words)}
    surprise = alone = 0.0  # in nats
    known = unknown = 0
    for sentence in track(corpus, "perplexity"):
        path = [chat.END, chat.END, *(numbers.get(word, -1) for word in sentence), chat.END]
        unknown += path.count(-1)
        for before, last, word in zip(path, path[1:], path[2:], strict=False):
            if -1 not in (before, last, word):
                known += 1
                surprise -= math.log(model.chances(before, last, [word])[word])
                alone -= math.log(model.chance(word))
    return ChatScore(math.exp(surprise / known), math.exp(alone / known), known, unknown / sum(map(len, corpus)))


# --- the card and the command -----------------------------------------------------------------------------------------

CARD = """# The demo's models

Two small models that the sample upstream serves, so that the demo and the tests protect something real.  Both are plain
tables read by the standard library; both are made by `training/demo_models.py` and by nothing else.  They are there to
be protected, not to be useful.

## `{classifier_file}`: what kind of text is this?

A softmax over {buckets:,} hashed features (words, pairs of words, runs of four bytes; CRC-32), one byte a weight.
Version `{version}`, {classifier_kib:.0f} KiB, trained on {trained:,} texts.

Held-out texts of the sources it was trained on ({tested:,}): **{accuracy:.1%}** right.

| class | texts | recall | precision |
| --- | ---: | ---: | ---: |
{table}

Texts of sources that it never saw ({unseen_tested:,}, from {unseen_sources}): **{unseen_accuracy:.1%}** right.

| class | texts | recall | precision |
| --- | ---: | ---: | ---: |
{unseen_table}

The first figure flatters it: rows of one source share a style.  Documentation from elsewhere that is half code is often
called code.  A text of no class still gets one.  Labels were smoothed by {smoothing:.0%}, so it is seldom quite sure.

## `{chat_file}`: a model that talks

A word trigram with absolute discounting over {words:,} words, {chat_kib:.0f} KiB, counted on {sentences:,} sentences
({chat_words:,} words) chosen for a clean and plain vocabulary.

Perplexity on {scored:,} held-out words: **{perplexity:.0f}**; without context it is {unigram:.0f}.  Unknown words
({unknown:.1%}) are left out of both figures.  The two discounts were picked on this same text, out of four pairs.

It writes sentences that look like advice about software and writing and mean nothing: it knows no facts and follows no
instruction.  A sentence may repeat the text it was counted on.

## Data and licences

Only rows labelled benign, only under these licences; nothing under a share-alike licence.

| source | used by | licence | origin |
| --- | --- | --- | --- |
{sources}

Attribution (CC-BY-4.0): Banking77, PolyAI Limited, from "Efficient Intent Detection with Dual Sentence Encoders"
(Casanueva, Temcinas, Gerz, Henderson and Vulic, 2020), <https://github.com/PolyAI-LDN/task-specific-datasets>,
<https://creativecommons.org/licenses/by/4.0/>.  Changed: a part of it was used, and only as weights of hashed features.

## Train them again

```
python training/demo_models.py --data DIR
```

DIR holds `train.jsonl` and `dev.jsonl`, one object a line with `text`, `label` (0 benign), `source` and `licence`.  It
needs numpy and rich.  The first file trains, the second only scores; the same files give the same models.  This card is
written by that run.
"""

ORIGINS = {
    "awesome-prompts": "f/awesome-chatgpt-prompts",
    "banking77": "PolyAI-LDN/task-specific-datasets",
    "code": "mitmproxy, starlette, hypercorn, caddy",
    "docs-gateway": "BerriAI/litellm-docs",
    "docs-security": "documentation of NeMo-Guardrails, deepteam and llm-guard",
    "fuzzyai-benign": "cyberark/FuzzyAI",
    "gpteacher": "teknium1/GPTeacher",
    "gpteacher-code": "teknium1/GPTeacher",
    "open-assistant": "LAION-AI/Open-Assistant",
    "vanguard-benign": "SyaugiAlkaf/vanguard",
}


def train_classifier(data: Path) -> dict[str, Any]:
    """Train, write and score the classifier; return what the card says of it."""
    rows = read_rows(data / "train.jsonl", CLASSIFIER_LICENCES)
    texts = examples(rows)
    write_classifier(*fit(texts))
    seen = {row["source"] for row in rows if kind_of(row)}
    held_out = [row for row in read_rows(data / "dev.jsonl", CLASSIFIER_LICENCES) if kind_of(row)]
    unseen = [row for row in held_out if row["source"] not in seen]
    familiar = confusion(examples(row for row in held_out if row["source"] in seen))
    foreign = confusion(examples(unseen))
    return {
        "classifier_file": classifier.WEIGHTS,
        "buckets": BUCKETS,
        "version": classifier.Classifier().version,
        "classifier_kib": (DEMO / classifier.WEIGHTS).stat().st_size / 1024,
        "trained": len(texts),
        "smoothing": SMOOTHING,
        "tested": familiar.total(),
        "accuracy": accuracy(familiar),
        "scores": class_scores(familiar),
        "unseen_tested": foreign.total(),
        "unseen_sources": ", ".join(sorted({row["source"] for row in unseen})),
        "unseen_accuracy": accuracy(foreign),
        "unseen_scores": class_scores(foreign),
        "licences": {(row["source"], "classifier", row["licence"]) for row in rows if kind_of(row)},
    }


def train_chat(data: Path) -> dict[str, Any]:
    """Count, write and score the chat model; return what the card says of it."""
    rows = read_rows(data / "train.jsonl", CHAT_LICENCES)
    corpus = truecase(sentences(rows))
    write_chat(corpus)
    held_out = truecase(sentences(read_rows(data / "dev.jsonl", CHAT_LICENCES)))
    score = chat_score([sentence for sentence in held_out if sentence not in corpus])
    return {
        "chat_file": chat.COUNTS,
        "chat_kib": (DEMO / chat.COUNTS).stat().st_size / 1024,
        "words": len(chat.ChatModel().words),
        "sentences": len(corpus),
        "chat_words": sum(map(len, corpus)),
        "scored": score.words,
        "perplexity": score.perplexity,
        "unigram": score.unigram_perplexity,
        "unknown": score.unknown,
        "licences": {(row["source"], "chat", row["licence"]) for row in rows if row["source"] in CHAT_SOURCES},
    }


def write_card(facts: dict[str, Any], licences: set[tuple[str, str, str]]) -> None:
    """Write MODELS.md."""
    sources = []
    for source in sorted({source for source, _, _ in licences}):
        users = ", ".join(sorted({user for name, user, _ in licences if name == source}))
        names = ", ".join(sorted({licence for name, _, licence in licences if name == source}))
        sources.append(f"| {source} | {users} | {names} | {ORIGINS[source]} |")
    tables = {"table": _rows(facts["scores"]), "unseen_table": _rows(facts["unseen_scores"])}
    (DEMO / "MODELS.md").write_text(CARD.format(**facts, **tables, sources="\n".join(sources)), encoding="utf-8")


def _rows(scores: list[ClassScore]) -> str:
    return "\n".join(f"| {s.kind} | {s.texts} | {s.recall:.1%} | {s.precision:.1%} |" for s in scores)


def show(facts: dict[str, Any]) -> None:
    """Print the scores."""
    console = Console()
    for title, scores in (("held out", facts["scores"]), ("unseen sources", facts["unseen_scores"])):
        table = Table("class", "texts", "recall", "precision", title=title)
        for score in scores:
            table.add_row(score.kind, str(score.texts), f"{score.recall:.1%}", f"{score.precision:.1%}")
        console.print(table)
    console.print(f"accuracy: {facts['accuracy']:.1%} held out, {facts['unseen_accuracy']:.1%} on unseen sources")
    console.print(f"perplexity: {facts['perplexity']:.0f}, {facts['unigram']:.0f} without context", end="")
    console.print(f"; {facts['unknown']:.1%} of the words unknown")


def main() -> None:
    """Train both models from `--data`, write them, and print how well they do."""
    parser = argparse.ArgumentParser(description="Train the demo's two models and write them with their card.")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    data = parser.parse_args().data
    first, second = train_classifier(data), train_chat(data)
    licences = first.pop("licences") | second.pop("licences")
    facts = first | second
    write_card(facts, licences)
    show(facts)


if __name__ == "__main__":
    main()
