"""Instructions and responses as the papers on language models read them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, NamedTuple

from keras_dts.data.arrays import Texts, to_objects
from keras_dts.data.splits import Instructions
from keras_dts.data.tfds import read_tfds
from keras_dts.utils import check_count

_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that "
    "provides further context. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}"
    "\n\n### Response:\n"
)

# The papers evaluate on the responses that are at least so long.
_SHORTEST = 11
_DOLLY_VALIDATION, _DOLLY_TEST = 1_000, 500
_EXAMPLES_PER_TASK = 100


class _Example(NamedTuple):
    """A prompt, and the responses that are right."""

    prompt: str
    responses: tuple[str, ...]


def alpaca_prompt(instruction: str, input: str = "") -> str:
    r"""Returns an instruction in Alpaca's template, ready for the response.

    The template is the one of `load_instructions` and `read_instructions`. A
    model that was trained in it expects the same words when it is used.

    Args:
        instruction: What is to be done.
        input: What it is to be done with. If it is empty, the template's second
            form is used, which has no place for it.

    Returns:
        The prompt, which ends with the line break after "### Response:".

    Raises:
        ValueError: If an argument is no text.

    Example:
    >>> from keras_dts import data
    >>> data.alpaca_prompt("Name a colour.")[-30:]
    'Name a colour.\n\n### Response:\n'
    """
    if not _are_texts([instruction, input]):
        raise ValueError(
            "`instruction` and `input` must be texts. Received: "
            f"instruction={instruction!r}, input={input!r}"
        )
    template = _WITH_INPUT if input else _WITHOUT_INPUT
    return template.format(instruction=instruction, input=input)


def read_instructions(
    path: str | os.PathLike[str],
    *,
    validation: int = 0,
    test: int | None = 0,
    shortest: int = 0,
    tokenize: Callable[[str], Sized] = str.split,
) -> Instructions:
    """Reads instructions and responses from a file of JSON lines.

    Each line is an object with the names of one of two formats:

    - `instruction`, `input` and `output`, as in the files of MiniLLM, DistiLLM
      and AdaKD. `input` may be empty or missing. `output` is a text, or a list
      of texts that are all right. A `prompt`, where there is one, is used as it
      is; `<n>` in it is a line break.
    - `instruction`, `context` and `response`, as in Dolly.

    The prompt is `alpaca_prompt(instruction, input)`. Other names in a line are
    ignored, and so are empty lines.

    `read_instructions("raw.jsonl", validation=1_000)` splits Dolly's file as
    these papers do. `read_instructions("valid.jsonl", test=None, shortest=11)`
    is their evaluation on Super-Natural Instructions and on Unnatural
    Instructions.

    Args:
        path: The file, in UTF-8.
        validation: How many lines are the validation part: the first ones.
        test: How many lines after these are the test part; `None` is all of
            them. The others are the training part.
        shortest: The fewest tokens of a response. A line whose first response
            has fewer is left out before the lines are counted.
        tokenize: Returns the tokens of a response: by default its words, as
            spaces separate them.

    Returns:
        An `Instructions`: `(train, validation, test, references)`. The response
        in a part is the first one of the line, and `references` holds all of
        those of the test.

    Raises:
        ValueError: If a line has neither format, or an argument is out of its
            range.
        FileNotFoundError: If there is no such file.

    Example:
    >>> import pathlib, tempfile
    >>> from keras_dts import data
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "two.jsonl")
    >>> _ = path.write_text(
    ...     '{"instruction": "Add.", "input": "1 + 1", "output": ["2", "two"]}'
    ... )
    >>> two = data.read_instructions(path, test=None)
    >>> two.test["responses"], two.references
    (array(['2'], dtype=object), [('2', 'two')])
    >>> folder.cleanup()
    """
    check_count("validation", validation, low=0)
    if test is not None:
        check_count("test", test, low=0)
    check_count("shortest", shortest, low=0)
    examples = [
        example
        for example in _read_lines(Path(path))
        if len(tokenize(example.responses[0])) >= shortest
    ]
    return _split(examples, validation, len(examples) if test is None else test)


def load_dolly(data_dir: str | os.PathLike[str] | None) -> Instructions:
    """Returns Dolly's instructions in TensorFlow Datasets' order.

    Args:
        data_dir: Directory of the prepared data sets; `None` is TensorFlow
            Datasets' own.
    """
    examples = [
        _Example(alpaca_prompt(instruction, context), (response,))
        for instruction, context, response in read_tfds(
            "dolly", ("instruction", "context", "response"), data_dir
        )
    ]
    return _split(examples, _DOLLY_VALIDATION, _DOLLY_TEST)


def load_natural_instructions(
    data_dir: str | os.PathLike[str] | None,
) -> Instructions:
    """Returns examples of each task of Super-Natural Instructions.

    Args:
        data_dir: Directory of the prepared data sets; `None` is TensorFlow
            Datasets' own.
    """
    tasks: dict[str, list[_Example]] = {}
    for task, definition, given, output in read_tfds(
        "natural_instructions",
        ("task_name", "definition", "input", "output"),
        data_dir,
    ):
        examples = tasks.setdefault(task, [])
        if (
            len(examples) < _EXAMPLES_PER_TASK
            and len(output.split()) >= _SHORTEST
        ):
            prompt = alpaca_prompt(definition, given)
            examples.append(_Example(prompt, (output,)))
    tenths: list[list[_Example]] = [[] for _ in range(10)]
    for place, task in enumerate(sorted(tasks)):
        tenths[place % 10] += tasks[task]
    *train, validation, test = tenths
    return _to_instructions(list(itertools.chain(*train)), validation, test)


def _split(
    examples: list[_Example], validation: int, test: int
) -> Instructions:
    """Returns the first examples as validation, the next as test."""
    end = validation + test
    return _to_instructions(
        examples[end:], examples[:validation], examples[validation:end]
    )


def _to_instructions(
    train: list[_Example], validation: list[_Example], test: list[_Example]
) -> Instructions:
    """Returns the parts; with references if one test prompt has several."""
    several = any(len(example.responses) > 1 for example in test)
    references = [example.responses for example in test]
    return Instructions(
        _to_part(train),
        _to_part(validation),
        _to_part(test),
        references if several else None,
    )


def _to_part(examples: Iterable[_Example]) -> dict[str, Texts]:
    examples = list(examples)
    return {
        "prompts": to_objects(example.prompt for example in examples),
        "responses": to_objects(e.responses[0] for e in examples),
    }


def _read_lines(path: Path) -> Iterator[_Example]:
    """Yields the example of each line that is not empty."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            example = _parse(line)
            if example is None:
                raise ValueError(
                    "`path` must be a file with one JSON object a line, with "
                    "the texts `instruction`, `input` and `output` or "
                    "`instruction`, `context` and `response`. Received: "
                    f"path={os.fspath(path)!r} with {line.strip()[:100]!r} in "
                    f"line {number}"
                )
            yield example


def _parse(line: str) -> _Example | None:
    """Returns the example of a line, or `None` if it has neither format."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    responses = fields.get("output", fields.get("response"))
    if not isinstance(responses, list):
        responses = [responses]
    if "prompt" in fields:
        asked = [fields["prompt"]]
    else:
        given = fields.get("input") or fields.get("context") or ""
        asked = [fields.get("instruction"), given]
    if not responses or not _are_texts(asked + responses):
        return None
    if "prompt" in fields:
        prompt = asked[0].replace("<n>", "\n")
    else:
        prompt = alpaca_prompt(*asked)
    return _Example(prompt, tuple(responses))


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
