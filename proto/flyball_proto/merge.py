"""Join what several input batches carry into one output batch, in input order."""

from collections.abc import Sequence

import numpy as np

from flyball_proto.columns import U8, U32, U64, Column, Decisions, Flow, Rows, Skipped


def merge_flows(flows: Sequence[Flow]) -> Flow:
    """One flow that covers all of `flows`; the mark and tick are the last ones.

    A fold cuts its batch at a mark, so at most the last flow carries one.
    """
    if len(flows) == 1:
        return flows[0]
    revisions: dict[str, int] = {}
    for flow in flows:
        revisions.update(flow.revisions)
    covered = [f for f in flows if f.last] or list(flows)
    return Flow(
        covered[-1].origin,
        covered[0].first,
        covered[-1].last,
        Skipped(
            np.concatenate([f.skipped.sequence for f in flows]),
            np.concatenate([f.skipped.rows for f in flows]),
            np.concatenate([f.skipped.reason for f in flows]),
            tuple(d for f in flows for d in _padded(f.skipped)),
        ),
        flows[-1].mark,
        max(f.tick_ms for f in flows),
        revisions,
    )


def merge_rows(parts: Sequence[Rows]) -> Rows:
    """One `Rows` with shared dictionaries. The newest labels of an element win inside a batch."""
    if len(parts) == 1:
        return parts[0]
    elements: dict[str, int] = {}
    label_sets: dict[str, int] = {}
    label_of: dict[int, int] = {}
    indexes: list[Column] = []
    for rows in parts:
        sets = [label_sets.setdefault(s, len(label_sets)) for s in rows.label_set]
        mapped = [elements.setdefault(e, len(elements)) for e in rows.element]
        label_of.update(zip(mapped, (sets[i] for i in rows.label_index), strict=True))
        indexes.append(np.asarray(mapped, U32)[rows.element_index])
    return Rows(
        tuple(elements),
        np.concatenate(indexes),
        np.concatenate([r.sequence for r in parts]) if parts else np.empty(0, U64),
        np.concatenate([r.sample for r in parts]),
        np.concatenate([r.time_ms for r in parts]),
        tuple(label_sets),
        np.asarray([label_of[i] for i in range(len(elements))], U32),
    )


def merge_classes(parts: Sequence[Decisions]) -> tuple[tuple[str, ...], Column]:
    """Shared `class_name` and `class_index`; none unless every part with rows has them."""
    told = [part for part in parts if len(part.rows)]
    if not told or not all(part.class_name for part in told):
        return (), np.empty(0, U8)
    names: dict[str, int] = {}
    indexes = []
    for part in told:
        mapped = [names.setdefault(name, len(names)) for name in part.class_name]
        indexes.append(np.asarray(mapped, U8)[part.class_index])
    return tuple(names), np.concatenate(indexes)


def _padded(skipped: Skipped) -> tuple[str, ...]:
    """Details are optional as a whole; joined, every entry needs one."""
    return tuple(skipped.detail) or ("",) * len(skipped.reason)
