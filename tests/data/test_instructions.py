"""Prompts and responses: npm's archive as it is, the rest as small copies."""

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_dts import data
from keras_dts.data import pronunciations
from keras_dts.data.archives import read_texts
from keras_dts.data.pronunciations import CMUDICT

DATASETS = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
PARTS = ("train", "validation", "test")

# The template as the Stanford Alpaca project published it, but that the line
# of the response is ended.
ALPACA = """Below is an instruction that describes a task. Write a response \
that appropriately completes the request.

### Instruction:
Name a colour.

### Response:
"""
ALPACA_WITH_INPUT = """Below is an instruction that describes a task, paired \
with an input that provides further context. Write a response that \
appropriately completes the request.

### Instruction:
Add.

### Input:
1 + 1

### Response:
"""


@pytest.fixture(scope="module")
def words():
    return data.load_instructions("cmudict")


def pairs(part):
    return list(zip(part["prompts"], part["responses"], strict=True))


def lines(path, *objects):
    path.write_text("\n".join(json.dumps(o) for o in objects), "utf-8")
    return path


def mocked(**columns):
    """Makes TensorFlow Datasets return these texts."""
    dataset = tf.data.Dataset.from_tensor_slices(columns)
    return tfds.testing.mock_data(as_dataset_fn=lambda *a, **k: dataset)


def test_cmudict_has_the_documented_form(words):
    parts = [words.train, words.validation, words.test]
    assert [len(part["prompts"]) for part in parts] == [108_478, 6_027, 6_018]
    everything = dict(pair for part in parts for pair in pairs(part))
    assert len(everything) == 120_523, "no word twice"
    assert all(re.fullmatch("[a-z']{3,12}", word) for word in everything)
    responses = [phones.split(" ") for phones in everything.values()]
    assert {len(phones) for phones in responses} == {*range(1, 15)}
    kinds = {phone for phones in responses for phone in phones}
    assert len(kinds) == 39
    assert all(re.fullmatch("[A-Z]{1,2}", kind) for kind in kinds)
    assert everything["aardvark"] == "AA R D V AA R K"
    assert words.references is None


def test_a_passage_is_its_first_sentence_and_the_rest():
    speeches = data.load_instructions("state_of_the_union")
    parts = [getattr(speeches, name) for name in PARTS]
    assert [len(p["prompts"]) for p in parts] == [11_734, 1_563, 1_441]
    corpus = data.load_corpus("state_of_the_union")
    of_corpus = {*corpus.train}, {*corpus.train}, {*corpus.test}
    for part, passages in zip(parts, of_corpus, strict=True):
        joined = {f"{prompt} {rest}" for prompt, rest in pairs(part)}
        assert joined <= passages
    train, validation, _ = ({*pairs(part)} for part in parts)
    assert not train & validation
    first = speeches.train["prompts"][0]
    assert first.startswith("Fellow-Citizens of the Senate")
    assert first.endswith(".")


def test_cmudict_is_split_by_word_and_in_a_fixed_order(words):
    parts = [set(getattr(words, part)["prompts"]) for part in PARTS]
    for part in parts:
        others = set().union(*(other for other in parts if other is not part))
        forms = {w + end for w in part for end in ("s", "'s", "s'", "'")}
        assert len(forms & set().union(*parts)) > 500
        assert not forms & others
    assert pairs(words.train)[0] == ("bialy", "B IY AA L IY")
    assert pairs(words.test)[0] == ("immunology", "IH M Y UW N AA L AH JH IY")


def test_the_archive_of_cmudict_has_its_digest(words):
    path = DATASETS.expanduser() / CMUDICT.file
    assert hashlib.sha256(path.read_bytes()).hexdigest() == CMUDICT.sha256
    phones = dict(read_texts(path))["phones.txt"].decode().splitlines()
    assert len(phones) == 39


def test_a_dictionary_gives_first_pronunciations_without_stress():
    text = "READ  R EH1 D\nREAD(1)  R IY1 D\nA  AH0\nX25  EH1 K S\nODD(1)  \n"
    long = f"LONG  {'N ' * 15}\nEND  EH2 N D\nEND.  EH1\nNONE  \nO'ER  AO1 R\n"
    assert pronunciations.read_dictionary(text + long) == {
        "READ": "R EH D",
        "END": "EH N D",
        "O'ER": "AO R",
    }


def test_dolly_has_the_documented_form():
    names = [str(i) for i in range(1_503)]
    with mocked(
        instruction=["Name a colour.", "Name a colour.", *names[2:]],
        context=["", "für", *names[2:]],
        response=names,
    ):
        dolly = data.load_instructions("dolly")
    assert dolly.validation["prompts"][0] == ALPACA
    assert dolly.validation["prompts"][1] == data.alpaca_prompt(
        "Name a colour.", "für"
    )
    responses = [list(getattr(dolly, part)["responses"]) for part in PARTS]
    assert responses == [names[1_500:], names[:1_000], names[1_000:1_500]]
    assert dolly.references is None


def test_natural_instructions_are_split_by_task():
    long = "one two three four five six seven eight nine ten eleven"
    # 120 examples of each of ten tasks, and a short one before them.
    tasks = [f"task{i}" for i in range(10)] * 121
    with mocked(
        task_name=tasks,
        definition=[f"Do {task}." for task in tasks],
        input=[str(i // 10) for i in range(1_210)],
        output=["one two"] * 10 + [long] * 1_200,
    ):
        instructions = data.load_instructions("natural_instructions")
    for part, first, count in [
        ("train", "task0", 8),
        ("validation", "task8", 1),
        ("test", "task9", 1),
    ]:
        prompts, responses = getattr(instructions, part).values()
        assert len(prompts) == len(set(prompts)) == 100 * count
        assert prompts[0] == data.alpaca_prompt(f"Do {first}.", "1")
        assert set(responses) == {long}


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("dolly", {"instruction", "context", "response"}),
        (
            "natural_instructions",
            {"task_name", "definition", "input", "output"},
        ),
    ],
)
def test_tensorflow_datasets_has_the_columns(name, columns):
    with tfds.testing.mock_data(num_examples=2):
        data.load_instructions(name)
        builder = tfds.builder({"dolly": "databricks_dolly"}.get(name, name))
    assert columns <= set(builder.info.features)


def test_a_failed_download_names_what_it_needs(monkeypatch, tmp_path):
    def send(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no network")

    monkeypatch.setattr(requests.Session, "send", send)
    message = "`name` must be .* needs a network. Received: name='dolly'"
    with pytest.raises(RuntimeError, match=message):
        data.load_instructions("dolly", data_dir=tmp_path)


def test_the_template_has_its_fixed_words():
    assert data.alpaca_prompt("Name a colour.") == ALPACA
    assert data.alpaca_prompt("Add.", "1 + 1") == ALPACA_WITH_INPUT
    message = "`instruction` and `input` must be texts. Received: .*input=None"
    with pytest.raises(ValueError, match=message):
        data.alpaca_prompt("Add.", None)
    assert "{input}" in data.alpaca_prompt("Print {input}.", "{instruction}")


def test_the_papers_files_are_read(tmp_path):
    path = lines(
        tmp_path / "raw.jsonl",
        {"instruction": "Name a colour.", "input": "", "output": "Red."},
        {"instruction": "Add.", "input": "1 + 1", "output": ["2", "two"]},
        {"instruction": "Name a colour.", "output": "Blau für jeden."},
        {"prompt": "Two<n>lines", "instruction": "Not used.", "output": "3"},
        {"instruction": "Add.", "input": "1 + 1", "output": "two\nlines"},
        {"instruction": "Name a colour.", "input": None, "output": ""},
    )
    read = data.read_instructions(path, validation=1, test=2)
    assert pairs(read.validation) == [(ALPACA, "Red.")]
    assert pairs(read.test) == [
        (ALPACA_WITH_INPUT, "2"),
        (ALPACA, "Blau für jeden."),
    ]
    assert read.references == [("2", "two"), ("Blau für jeden.",)]
    assert pairs(read.train) == [
        ("Two\nlines", "3"),
        (ALPACA_WITH_INPUT, "two\nlines"),
        (ALPACA, ""),
    ]


def test_dollys_own_file_is_read(tmp_path):
    other = {"context": "", "category": "open_qa"}
    path = lines(
        tmp_path / "databricks-dolly-15k.jsonl",
        {"instruction": "Name a colour.", "response": "Red.", **other},
        *({"instruction": f"{i}", "response": f"{i}", **other} for i in "234"),
        {"instruction": "Add.", "context": "1 + 1", "response": "2"},
        {"instruction": "Name a colour.", "response": "\u2028", **other},
    )
    read = data.read_instructions(path, validation=4)
    assert pairs(read.validation)[0] == (ALPACA, "Red.")
    assert pairs(read.train) == [(ALPACA_WITH_INPUT, "2"), (ALPACA, "\u2028")]
    assert pairs(read.test) == []
    assert read.references is None


def test_short_responses_are_left_out_before_lines_are_counted(tmp_path):
    responses = ["a " * 10, "b " * 11, ["c " * 11, "c"], ["d", "d " * 11]]
    responses += ["e " * 12, "f"]
    path = lines(
        tmp_path / "valid.jsonl",
        *({"instruction": "Go.", "output": output} for output in responses),
    )
    read = data.read_instructions(path, validation=1, test=None, shortest=11)
    assert list(read.validation["responses"]) == ["b " * 11]
    assert list(read.test["responses"]) == ["c " * 11, "e " * 12]
    assert read.references[0] == ("c " * 11, "c")
    letters = data.read_instructions(path, shortest=23, tokenize=list)
    assert list(letters.train["responses"]) == ["e " * 12]


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        '["instruction"]',
        '{"instruction": "a"}',
        '{"output": "a"}',
        '{"instruction": "a", "output": []}',
        '{"instruction": "a", "output": ["b", 1]}',
        '{"instruction": "a", "input": 1, "output": "b"}',
        '{"prompt": null, "output": "b"}',
    ],
)
def test_a_line_of_neither_format_is_refused(line, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n\n' + line)
    message = (
        r"`path` must be .*`instruction`, `input` and `output` or .*Received: "
        rf"path='{path}' with {re.escape(repr(line))} in line 3"
    )
    with pytest.raises(ValueError, match=message):
        data.read_instructions(path)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("validation", -1), ("test", 0.5), ("shortest", True)],
)
def test_counts_of_lines_are_checked(argument, value, tmp_path):
    message = f"`{argument}` must be a whole number of at least 0. Received"
    with pytest.raises(ValueError, match=message):
        data.read_instructions(tmp_path / "none", **{argument: value})


def test_unknown_instructions_are_refused():
    message = "`name` must be one of 'cmudict', 'dolly', .* Received: name='a'"
    with pytest.raises(ValueError, match=message):
        data.load_instructions("a")
