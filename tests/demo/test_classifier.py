"""The sample classifier: what it says of real sentences, and that its numbers agree with one another."""

from __future__ import annotations

import math

import pytest
from tests.effort import steps

from vallum.demo.classifier import MAX_CHARS, Classifier

SENTENCES = {
    "banking": (
        "Why was my card payment declined?",
        "I still have not received my refund on my statement.",
        "How do I top up my account with a bank transfer?",
        "My new card has not arrived in the post yet.",
    ),
    "code": (
        "def add(first, second):\n    return first + second\n\nprint(add(1, 2))",
        '#include <stdio.h>\nint main(void) {\n    printf("hello");\n    return 0;\n}',
        "const total = items.map((item) => item.price).reduce((sum, price) => sum + price, 0);",
    ),
    "documentation": (
        "The server reads its configuration from `config.yml` when it starts. See the reference for all options.",
        "## Usage\n\nTo enable tracing, set the `TRACE` environment variable and restart the proxy.",
        "This guide shows how to add a custom guardrail to your configuration and how to test it with the server.",
    ),
    "instruction": (
        "Write a poem about the sea.",
        "Summarize the following article in two sentences.",
        "Suggest three names for a coffee shop.",
    ),
    "persona": (
        "I want you to act as a travel guide. I will write you my location and you will suggest a place to visit.",
        "You are a pirate captain. Explain to your crew how to find the treasure.",
        "Imagine you are a wizard in a medieval kingdom. Describe your day.",
    ),
    "question": (
        "What is the capital of France?",
        "Why is the sky blue?",
        "How long does it take to boil an egg?",
    ),
}

ODD_TEXTS = {
    "empty": "",
    "blank": " \t\n",
    "one letter": "a",
    "another script": "これはテストです。",
    "right to left": "مرحبا بالعالم",
    "emoji with joiners": "👩‍👩‍👧‍👦" * 50,
    "a combining flood": "e" + "\u0301" * 2000,
    "a lone surrogate": "card \ud800 payment",
    "control characters": "\0\x01\x7f\ufeff\u202e",
    "very long": "The card was declined. " * 50_000,
    "one very long word": "x" * 100_000,
}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SENTENCES.items() for text in texts])
def test_a_plain_case_of_each_class_is_recognised(classifier: Classifier, kind: str, text: str) -> None:
    assert classifier.predict(text)["prediction"] == kind


def test_the_sentences_cover_every_class(classifier: Classifier) -> None:
    assert set(classifier.classes) == set(SENTENCES)


def test_the_answer_has_exactly_the_promised_members(classifier: Classifier) -> None:
    answer = classifier.predict("What is a loan?")
    assert list(answer) == ["prediction", "confidence", "probabilities", "logits", "model_version"]
    assert answer["model_version"] == classifier.version
    assert list(answer["probabilities"]) == list(answer["logits"]) == list(classifier.classes)


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_any_text_gets_probabilities_that_sum_to_one(classifier: Classifier, text: str, temperature: float) -> None:
    answer = classifier.predict(text, temperature)
    probabilities = answer["probabilities"]
    assert math.isclose(sum(probabilities.values()), 1.0, abs_tol=1e-9)
    assert answer["confidence"] == max(probabilities.values()) == probabilities[answer["prediction"]]
    assert all(math.isfinite(number) for number in (*probabilities.values(), *answer["logits"].values()))


@pytest.mark.parametrize("temperature", [0.25, 1.0, 2.0])
def test_the_probabilities_are_the_softmax_of_the_logits(classifier: Classifier, temperature: float) -> None:
    answer = classifier.predict("Can you tell me a story about money?", temperature)
    powers = {kind: math.exp(logit / temperature) for kind, logit in answer["logits"].items()}
    for kind, probability in answer["probabilities"].items():
        assert math.isclose(probability, powers[kind] / sum(powers.values()), rel_tol=1e-9)


def test_temperature_changes_the_confidence_and_neither_logits_nor_prediction(classifier: Classifier) -> None:
    answers = [classifier.predict("My car is red.", temperature) for temperature in (0.0, 0.5, 1.0, 2.0)]
    confidences = [answer["confidence"] for answer in answers]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] > 0.999
    assert len({answer["prediction"] for answer in answers}) == 1
    assert all(answer["logits"] == answers[0]["logits"] for answer in answers)


def test_confidence_is_high_on_a_plain_case_and_low_on_none(classifier: Classifier) -> None:
    assert classifier.predict("Why was my card payment declined?")["confidence"] >= 0.9
    assert classifier.predict("hm")["confidence"] < 0.7


def test_a_second_classifier_says_the_same(classifier: Classifier) -> None:
    for text in ("Why was my card payment declined?", *ODD_TEXTS.values()):
        assert Classifier().predict(text) == classifier.predict(text)


def test_what_lies_beyond_the_bound_is_not_read(classifier: Classifier) -> None:
    text = ("The card was declined. " * MAX_CHARS)[:MAX_CHARS]
    assert classifier.predict(text) == classifier.predict(text + "def main(): return 0")


def test_loading_and_predicting_are_cheap() -> None:
    assert steps(Classifier) < 50_000
    model = Classifier()
    assert steps(lambda: model.predict("a word or two of text " * 23)) < 35_000
