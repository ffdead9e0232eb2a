"""In which form a model can answer everywhere: the variant that every runtime can run and hold. Pure.

The model as it was trained is preferred; a smaller form is a compromise that memory or a runtime's
precisions demand. Where none fits, nothing is placed by itself: a model that one runtime cannot load
would make the fleet disagree, while what is in force is known to work everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from flyball_proto.deployments import Placed
from flyball_proto.events import ModelRecord, Precision
from flyball_proto.runtimes import MODELS_AT_ONCE, RuntimeState
from flyball_proto.spec.learning import ModelBudgets

MB: Final = 1_000_000
MEMORY_FACTOR: Final = 8
"""A loaded model takes about so many times its file where nobody measured it, as at admission."""

MAX_TOLD: Final = 4
"""Reasons in one sentence; the rest is left out."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The runtimes of one pipeline that are alive, and what its owner lets a model cost."""

    runtimes: Sequence[RuntimeState] = ()
    budgets: ModelBudgets = field(default_factory=ModelBudgets)


@dataclass(frozen=True, slots=True)
class Misfit:
    """No form of a model fits everywhere, and why; or it `is_known` not to be a model at all."""

    reason: str
    is_known: bool = True


class Chosen(NamedTuple):
    """The model that a judgement names, None = there is no record of it; and who has to run it."""

    model: ModelRecord | None
    fleet: Fleet


class _Form(NamedTuple):
    precision: Precision
    size_bytes: int
    memory_bytes: int


def place_chosen(chosen: Chosen, digest: str) -> Placed | Misfit:
    """As `place`, if the model was admitted."""
    model = chosen.model
    if model is None or model.stage == "refused":
        return Misfit(f"{digest[:12]} has no record of an admitted model", is_known=False)
    found = place(model, chosen.fleet)
    if isinstance(found, Misfit):
        return Misfit(f"{digest[:12]} cannot answer everywhere: {found.reason}")
    return found


def place(model: ModelRecord, fleet: Fleet) -> Placed | Misfit:
    """The model in the first of its forms that fits every runtime and the budgets.

    Where nobody is alive, the budgets alone decide.
    """
    reasons: list[str] = []
    for form in _forms(model):
        if (reason := _bars(form, fleet)) is None:
            return Placed(
                digest=model.digest,
                trainer=model.trainer,
                feature_digest=model.feature_digest,
                precision=form.precision,
            )
        reasons.append(reason)
    return Misfit("; ".join(reasons[:MAX_TOLD]))


def _forms(model: ModelRecord) -> list[_Form]:
    """The model itself, then its variants from the most precise to the least."""
    memory_bytes = model.memory_bytes or MEMORY_FACTOR * model.size_bytes
    made: list[_Form] = [_Form("float32", model.size_bytes, memory_bytes)]
    for variant in sorted(model.variants, key=lambda v: ("float16", "int8").index(v.precision)):
        share = variant.size_bytes / max(1, model.size_bytes)
        made.append(_Form(variant.precision, variant.size_bytes, int(memory_bytes * share)))
    return made


def _bars(form: _Form, fleet: Fleet) -> str | None:
    """Why a form cannot answer everywhere, or None."""
    size_mb, memory_mb = form.size_bytes / MB, form.memory_bytes / MB
    if size_mb > fleet.budgets.size_mb:
        return f"{form.precision} has {size_mb:.3g} MB, the budget is {fleet.budgets.size_mb:g}"
    if memory_mb > fleet.budgets.memory_mb:
        return (
            f"{form.precision} takes {memory_mb:.3g} MB of memory, the budget is "
            f"{fleet.budgets.memory_mb:g}"
        )
    for runtime in fleet.runtimes:
        if form.precision not in runtime.precisions:
            runs = ", ".join(runtime.precisions)
            return f"{runtime.instance} cannot run {form.precision}, only {runs}"
        share_mb = runtime.memory_mb / MODELS_AT_ONCE
        if runtime.memory_mb and memory_mb > share_mb:
            return (
                f"{form.precision} takes {memory_mb:.3g} MB of memory, and {runtime.instance} has "
                f"{share_mb:.3g} for one of {MODELS_AT_ONCE} models"
            )
    return None
