"""What may be wrong with the outputs and the labels of a batch."""

from __future__ import annotations

from collections.abc import Iterable

from keras import ops

from keras_dts.backend import answer, fast, only_if
from keras_dts.types import Tensor

# Bool scalars by name. A name that is missing was not looked for, or cannot
# be: what is known without looking at a batch needs no flag.
#
# "labels": some labels name no class. "kind": the values of an output are not
# of its kind. "teacher": its logits are NaN or infinite. "ruled out": they are
# -inf, which rules a class out.
Faults = dict[str, Tensor]
FAULTS = ("labels", "kind", "teacher", "ruled out")


def join_faults(faults: Iterable[Faults]) -> Faults:
    """Joins the faults of the outputs of a batch."""
    joined: Faults = {}
    for one in faults:
        for name, flag in one.items():
            known = joined.get(name)
            joined[name] = flag if known is None else known | flag
    return joined


def teacher_faults(logits: Iterable[Tensor], suspect: Tensor | bool) -> Faults:
    """Looks for the faults of a teacher's logits.

    A fault that does harm makes the loss NaN or infinite. Only then is there
    something to look for.

    Args:
        logits: The teacher's, of each output, shape `(batch, ..., classes)`.
        suspect: Whether the loss is not finite, a bool scalar.
    """
    logits = list(logits)
    if not logits or answer(suspect) is False:
        return {}
    none = fast.stack([ops.zeros((), dtype="bool")] * 2)
    found = only_if(suspect, lambda: _search(logits), none)
    return {"teacher": found[0], "ruled out": found[1]}


def _search(logits: list[Tensor]) -> Tensor:
    """Returns both flags of the teacher, bool, shape `(2,)`."""
    broken, ruled_out = [], []
    for values in logits:
        low = ops.equal(values, -float("inf"))
        other = ops.logical_not(ops.logical_or(low, ops.isfinite(values)))
        # A row that rules out every class is no distribution.
        broken += [ops.any(other), ops.any(ops.all(low, axis=-1))]
        ruled_out.append(ops.any(low))
    return ops.stack([ops.any(ops.stack(x)) for x in (broken, ruled_out)])
