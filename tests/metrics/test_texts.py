"""Metrics of texts that a model wrote, with numbers by hand."""

import sys

import numpy as np
import pytest

from keras_dts import metrics

FUNCTIONS = [metrics.rouge_l, metrics.exact_match, metrics.token_error_rate]


def test_rouge_l_is_the_mean_f_measure_of_the_best_references():
    predictions = ["the cat sat", "Running, quick!", "", "one two three"]
    references = [
        # Stems: "cats" is "cat"; 3 of 3 and 3 of 4 words are in order.
        ["no word of it", "the cats sat down", "cat the"],
        # Case and commas do not count; a letter that is not of a to z ends a
        # word. 2 of 2 and 2 of 3.
        ("runs quick é now",),
        ["nothing was written"],
        # The longest run in order is of one word.
        ["three two one"],
    ]
    scores = [2 * 3 / 4 / (1 + 3 / 4), 2 * 2 / 3 / (1 + 2 / 3), 0, 1 / 3]
    expected = 100 * np.mean(scores)
    assert metrics.rouge_l(predictions, references) == pytest.approx(expected)


def test_a_missing_rouge_score_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    message = r'ROUGE scores need .*pip install "keras-dts\[text\]".*rouge_sc'
    with pytest.raises(ImportError, match=message):
        metrics.rouge_l(["a"], ["a"])


def test_a_match_is_exact_but_for_the_ends():
    predictions = np.array([" a b\n", "A", "a  b", "c", ""], object)
    references = ["a b", "a", "a b", ["d", "c "], " "]
    assert metrics.exact_match(predictions, references) == 60.0


@pytest.mark.parametrize(
    ("written", "right", "edits"),
    [
        ("K AE T", "K AE T", 0),
        ("K AE T", "K AA T", 1),
        ("K T", "K AE T", 1),
        ("K K AE T S", "K AE T", 2),
        ("", "K AE T", 3),
        # A swap is two edits; a shift is one before and one behind.
        ("AE K T", "K AE T", 2),
        ("B C D E", "A B C D", 2),
        ("S IH T IH NG", "K IH T AH N", 3),
    ],
)
def test_edits_of_tokens_by_hand(written, right, edits):
    rate = metrics.token_error_rate([written], [right])
    assert rate == pytest.approx(100 * edits / len(right.split()))


def test_the_error_rate_is_one_of_all_tokens():
    predictions = ["A  B\nC D", "A", "B"]
    # Of two references the one with fewer edits counts, with its length.
    references = ["A B C D", ["B", "C C C C", "A A"], ""]
    # 0 of 4, 1 of 1, 1 of 0.
    rate = metrics.token_error_rate(predictions, references)
    assert rate == pytest.approx(100 * 2 / 5)
    message = "`references` must have tokens, .* Received: empty texts"
    with pytest.raises(ValueError, match=message):
        metrics.token_error_rate(["A"], [" "])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "equally many, and at least one. Received: 0 predictions and"),
        (["a"], ["a", "b"], "equally many, .* 1 predictions and 2 references"),
        ("a", ["a"], "`predictions` must be a sequence .* Received: 'a'"),
        (["a"], "a", "`references` must be a sequence of .* Received: 'a'"),
        ([b"a"], ["a"], "`predictions` must be texts. Received: b'a' among"),
        (["a"], [None], "`references` must be texts. Received: None among"),
        (["a"], [["a", 1]], "`references` must be texts. Received: 1 among"),
        (["a"], [[]], r"`references` must have a text for .* Received: \[\]"),
    ],
)
def test_what_is_no_text_is_refused(function, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        function(predictions, references)
