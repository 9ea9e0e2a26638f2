"""How near texts that a model wrote come to references, in percent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from keras_dts.utils import require

References: TypeAlias = Iterable[str] | Iterable[Sequence[str]]


class _Pair(NamedTuple):
    """What a model wrote, and what would have been right."""

    prediction: str
    references: tuple[str, ...]


def rouge_l(predictions: Iterable[str], references: References) -> float:
    """Computes ROUGE-L: how much of the references' words comes in their order.

    The F-measure of the longest common subsequence of words, times 100; of
    several references the best one counts; the mean over all texts. The package
    `rouge-score` computes it, with its stemmer, as the papers on instructions
    do. Its words are the letters a to z and the digits: other scripts score 0.

    Args:
        predictions: The texts that the model wrote, without their prompts.
        references: For each of them one text, or a sequence of texts that are
            all right.

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: If there are no texts, more of the one than of the other, or
            something else among them.
        ImportError: If `rouge-score` is missing.

    Example:
    >>> from keras_dts import metrics
    >>> score = metrics.rouge_l(["the cat sat"], ["the cats sat down"])
    >>> round(score, 2)  # Three words in order: all of 3, and 3 of 4.
    85.71

    Reference:
        Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004.
    """
    pairs = _pair(predictions, references)
    (package,) = require("text", "ROUGE scores", "rouge_score.rouge_scorer")
    scorer = package.RougeScorer(["rougeL"], use_stemmer=True)
    return _mean(
        scorer.score_multi(pair.references, pair.prediction)["rougeL"].fmeasure
        for pair in pairs
    )


def exact_match(predictions: Iterable[str], references: References) -> float:
    """Computes how many texts are equal to a reference.

    Spaces and line breaks at the ends of a text do not count.

    Args:
        predictions: The texts that the model wrote, without their prompts.
        references: For each of them one text, or a sequence of texts that are
            all right.

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: If there are no texts, more of the one than of the other, or
            something else among them.

    Example:
    >>> from keras_dts import metrics
    >>> metrics.exact_match(["K AE T ", "D AO"], ["K AE T", "D AO G"])
    50.0
    """
    return _mean(
        pair.prediction.strip() in {text.strip() for text in pair.references}
        for pair in _pair(predictions, references)
    )


def token_error_rate(
    predictions: Iterable[str], references: References
) -> float:
    """Computes how many tokens are wrong: of phones, the phone error rate.

    The insertions, deletions and substitutions that turn the predictions into
    the references, over the number of the references' tokens, times 100. Both
    are sums over all texts, so that a long text counts for more than a short
    one. Of several references the one with the fewest edits counts.

    Args:
        predictions: The texts that the model wrote, without their prompts.
            Spaces separate the tokens.
        references: For each of them one text, or a sequence of texts that are
            all right.

    Returns:
        A number of at least 0; more than 100 if the predictions are too long.

    Raises:
        ValueError: If there are no texts, more of the one than of the other, or
            something else among them; if the references have no tokens.

    Example:
    >>> from keras_dts import metrics
    >>> metrics.token_error_rate(["K AE T", "D OW G"], ["K AE T S", "D AO G Z"])
    37.5
    """
    edits = tokens = 0
    for pair in _pair(predictions, references):
        written = pair.prediction.split()
        distance, length = min(
            (_edit_distance(written, right), len(right))
            for right in map(str.split, pair.references)
        )
        edits += distance
        tokens += length
    if tokens == 0:
        raise ValueError(
            "`references` must have tokens, which spaces separate. Received: "
            "empty texts"
        )
    return 100.0 * edits / tokens


def _edit_distance(written: list[str], right: list[str]) -> int:
    """Returns the fewest edits of one token that make one list the other."""
    # The distances of the tokens so far from each beginning of `right`.
    distances = list(range(len(right) + 1))
    for token in written:
        diagonal, distances[0] = distances[0], distances[0] + 1
        for i, other in enumerate(right, 1):
            substituted = diagonal + (token != other)
            diagonal = distances[i]
            distances[i] = min(
                substituted, distances[i] + 1, distances[i - 1] + 1
            )
    return distances[-1]


def _mean(scores: Iterable[float]) -> float:
    """Returns the mean of scores from 0 to 1 in percent."""
    listed = list(scores)
    return 100.0 * sum(listed) / len(listed)


def _pair(predictions: Any, references: Any) -> list[_Pair]:
    """Returns each prediction with its references."""
    for name, texts in (
        ("predictions", predictions),
        ("references", references),
    ):
        if isinstance(texts, str | bytes):
            raise ValueError(
                f"`{name}` must be a sequence of texts. Received: {texts!r}"
            )
    predictions, references = list(predictions), list(references)
    if not predictions or len(predictions) != len(references):
        raise ValueError(
            "`predictions` and `references` must be equally many, and at least "
            f"one. Received: {len(predictions)} predictions and "
            f"{len(references)} references"
        )
    return [
        _Pair(_text("predictions", prediction), _texts(reference))
        for prediction, reference in zip(predictions, references, strict=True)
    ]


def _texts(reference: Any) -> tuple[str, ...]:
    if isinstance(reference, str) or not isinstance(reference, Iterable):
        reference = (reference,)
    texts = tuple(_text("references", text) for text in reference)
    if not texts:
        raise ValueError(
            "`references` must have a text for each prediction. Received: "
            f"{reference!r}"
        )
    return texts


def _text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(
            f"`{name}` must be texts. Received: {text!r} among them"
        )
    return text
