"""Which calibrations are worth an event, and in which words. Pure."""

from typing import Final

from flyball_proto.calibrations import Calibrated, Calibration, CutOff, SteppedBackNow

MOVED: Final = 0.02
"""How far a cut-off moves before it is told again."""

News = Calibrated | SteppedBackNow


def news(before: Calibration | None, now: Calibration, told: CutOff | None) -> list[News]:
    """Events of a new calibration; `told` is the cut-off that was told last."""
    found: list[News] = []
    if now.stepped_back is not None and (before is None or before.stepped_back is None):
        max_error = now.cut_off.max_error if now.cut_off else now.stepped_back.lower_bound
        found.append(
            SteppedBackNow(
                pipeline=now.pipeline, at=now.at, found=now.stepped_back, max_error=max_error
            )
        )
    back = before is not None and before.stepped_back is not None and now.stepped_back is None
    if now.cut_off is not None and (back or says_else(told, now.cut_off)):
        found.append(
            Calibrated(
                pipeline=now.pipeline,
                at=now.at,
                rows=now.rows,
                cut_off=now.cut_off,
                detail=words(now.cut_off) + (", may act again" if back else ""),
            )
        )
    return found


def says_else(told: CutOff | None, now: CutOff) -> bool:
    """Whether a cut-off came, went or moved."""
    if told is None or told.at is None or now.at is None:
        before = (told.proven, told.at is None) if told is not None else (False, True)
        return before != (now.proven, now.at is None)
    return abs(told.at - now.at) >= MOVED


def words(cut: CutOff) -> str:
    """What a cut-off says, for an operator."""
    kept = f"at most {cut.max_error:.3g} wrong with confidence {cut.confidence:.3g}"
    if not cut.proven:
        return f"not proven yet: {cut.rows} of {cut.needed} labelled rows ({kept})"
    if cut.at is None:
        return (
            f"nothing may be cleared: {cut.errors} of {cut.rows} labelled rows were wrong ({kept})"
        )
    share = 100 * cut.below / cut.rows
    return (
        f"cleared up to a probability of error of {cut.at:.3f}, {share:.0f} % of proposals: "
        f"{cut.errors} of {cut.below} were wrong, {kept}"
    )
