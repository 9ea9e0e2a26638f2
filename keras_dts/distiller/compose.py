"""Composes a distiller of its parts."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_dts.backend import check_engine
from keras_dts.cache import CacheAdapter, TeacherCache
from keras_dts.distiller.array_adapter import ArrayAdapter
from keras_dts.distiller.before_step import BeforeStep
from keras_dts.distiller.fit_data import FitData
from keras_dts.distiller.logs import StepLogs
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.objective import Objective
from keras_dts.distiller.online_teacher import check_learns_not
from keras_dts.distiller.steps import Steps
from keras_dts.distiller.student_loss import StudentLoss
from keras_dts.distiller.terms import Terms
from keras_dts.distiller.undo import UndoableStep
from keras_dts.hub import RawInputAdapter


class Parts(NamedTuple):
    """What a distiller is composed of.

    Attributes:
        models: Gives each model its input, and builds and checks both.
        objective: Computes what a training step minimises.
        logs: The means of what steps log.
        steps: Adds the teacher's outputs to steps, and computes their losses.
        fit_data: Converts data that Keras would not take.
        undoable: Runs Keras's own training step.
    """

    models: ModelPair
    objective: Objective
    logs: StepLogs
    steps: Steps
    fit_data: FitData
    undoable: UndoableStep


def compose(
    distiller: Any, entries: list[Any], from_logits: tuple[Any, Any]
) -> Parts:
    """Makes the parts of a distiller.

    Args:
        distiller: The distiller, with the arguments of its constructor as
            attributes.
        entries: Its `distillation_losses`, an entry for each term.
        from_logits: For teacher and student whether their outputs are
            logits, or `"auto"`.
    """
    pair = distiller.teacher, distiller.student
    inputs = distiller.teacher_inputs, distiller.student_inputs
    terms = Terms(entries, *pair)
    policies = terms.policies_with(distiller.temperature)
    models = ModelPair(*pair, terms, policies, from_logits, *inputs)
    student_loss = StudentLoss(distiller)
    weights = (
        distiller.student_loss_weight,
        distiller.distillation_loss_weights,
    )
    objective = Objective(
        models, terms, distiller.temperature, student_loss, weights
    )
    logs = StepLogs([*objective.logged_names, *distiller.step_logs])
    steps = Steps(models, objective, student_loss, logs, distiller)

    def check_cache(cache: TeacherCache) -> None:
        check_learns_not(distiller.teacher)
        cache.check_teacher(distiller.teacher)
        cache.check_from_logits(models.from_logits[0])
        objective.check_cache(cache)

    cache = CacheAdapter(check_cache)
    raw = RawInputAdapter(*pair, *inputs)
    arrays = ArrayAdapter(steps.check_given_labels)
    fit_data = FitData(
        (cache, arrays, raw),
        lambda: distiller.evaluates_teacher,
        steps.check_given_labels,
        lambda: check_engine(distiller),
    )
    before = BeforeStep(distiller, models, policies, student_loss)
    undoable = UndoableStep(distiller, objective.notes, before, steps.parallel)
    return Parts(models, objective, logs, steps, fit_data, undoable)
