"""What was proposed goes with a sample, whatever became of it, and what was found about that."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.sample_rows import (
    DIGEST,
    Made,
    Row,
    batched,
    category_of,
    novelty_of,
    paired,
    run,
    sampling,
)

from flyball_ingest.decided import NOTHING, Pair, decided_rows
from flyball_ingest.sampled import MAX_WORDS, part_of
from flyball_ingest.samples import SamplesFold
from flyball_kit.fold import Input
from flyball_proto.columns import (
    F32,
    Assessment,
    Samples,
    Verdict,
    decode_features,
    decode_samples,
    decode_verdicts,
    encode_samples,
    encode_verdicts,
)

ROWS = [
    Row("a", 1000, verdict=Verdict.CLEAR),
    Row("b", 1000, action=1, verdict=Verdict.DENY),
    Row("c", 1000, action=1, verdict=Verdict.SUPERSEDED),
    Row("d", 1000),
    Row("e", 2000, action=2, verdict=Verdict.ADVISE),
    Row("f", 6000, action=1, verdict=Verdict.HOLD),
]


def sampled(inputs: Sequence[Input]) -> Made:
    """A label that is the row's own value: every row is a sample at once."""
    return run(SamplesFold(sampling("load")), inputs)


def proposed(made: Made) -> list[tuple[object, ...]]:
    return [(row[0], *row[10:]) for row in made.rows]


def test_a_sample_tells_what_was_proposed_whatever_became_of_it() -> None:
    found = proposed(sampled([paired(batched(ROWS), 10)]))
    assert found == [
        ("a", "", 0, None, None),
        ("b", "offload", 2, 0.25, 0.125),
        ("c", "offload", 2, 0.25, 0.125),
        ("d", "", 0, None, None),
        ("e", "keep", 3, 0.375, 0.1875),
        ("f", "offload", 3, 0.875, 0.4375),
    ]


def test_signals_stay_beside_their_proposal_where_one_verdict_stands_beside_many_features() -> None:
    rng = random.Random(5)
    rows = [Row(f"cell-{i}", 1000 * i, action=rng.choice([0, 0, 1, 2])) for i in range(200)]
    messages = batched(rows, rng.sample(range(200), 17))
    made = sampled([paired(messages, 10)])
    assert [row[12] for row in made.rows] == [novelty_of(r) if r.action else None for r in rows]
    assert [row[11] for row in made.rows] == [category_of(r) for r in rows]


def test_signals_stay_beside_their_proposal_where_only_some_elements_are_evidence() -> None:
    rows = [Row(f"cell-{i % 50}", 1000 * (i // 50), action=i % 3) for i in range(2_000)]
    compiled = sampling("load", promotion={"evidence_rows_per_s": 10})
    made = run(SamplesFold(compiled), [paired(batched(rows, [500, 1_000]), 10)])
    assert 0 < made.samples[-1].share < 1
    assert 0 < len(made.rows) < len(rows)
    by_sequence = {1 + i: row for i, row in enumerate(rows)}
    for row in made.rows:
        truth = by_sequence[row[1]]
        assert (row[0], row[12]) == (truth.element, novelty_of(truth) if truth.action else None)


def test_a_fallback_in_its_place_is_what_the_sample_names() -> None:
    sent = Row("a", 1000, action=2, verdict=Verdict.REPLACE)
    (batch,) = sampled([paired(batched([sent]), 10)]).samples
    assert (batch.action, batch.action_index.tolist()) == (("keep",), [1])
    assert batch.verdict.tolist() == [Verdict.REPLACE]


@pytest.mark.parametrize(
    "assessment",
    [Assessment(), *(Assessment(*[np.ones(n, F32)] * 5) for n in (3, 5))],
    ids=["an older version", "too few", "too many"],
)
def test_verdicts_that_assess_nothing_or_something_else_leave_it_unknown(
    assessment: Assessment,
) -> None:
    message = paired(batched(ROWS), 10)
    changed = replace(decode_verdicts(message.data), assessment=assessment)
    made = sampled([message._replace(data=encode_verdicts(changed))])
    assert {row[12:] for row in made.rows} == {(None, None)}
    assert [row[10] for row in made.rows] == ["", "offload", "offload", "", "keep", "offload"]


def test_rows_that_propose_nothing_share_one_object_while_they_wait() -> None:
    message = paired(batched(ROWS), 10)
    pair = Pair(decode_features(message.beside[0].data), decode_verdicts(message.data), 0, 10)
    models = pair.verdicts.model
    rows = list(decided_rows(pair, np.arange(6), sampling=sampling("load"), models=models))
    assert [row.said is NOTHING for row in rows] == [True, False, False, True, False, False]


def test_more_actions_than_a_column_can_tell_apart_go_out_in_parts() -> None:
    message = paired(batched(ROWS), 10)
    pair = Pair(decode_features(message.beside[0].data), decode_verdicts(message.data), 0, 10)
    models = pair.verdicts.model
    (row,) = decided_rows(pair, np.arange(1, 2), sampling=sampling("load"), models=models)
    rows = [replace(row, said=row.said._replace(action=f"a{i}")) for i in range(300)]
    assert part_of(rows) == MAX_WORDS


def test_samples_of_an_earlier_version_are_read_and_say_nothing_of_proposals() -> None:
    (batch,) = sampled([paired(batched(ROWS), 10)]).samples
    none = Samples(*[getattr(batch, name) for name in list(batch.__slots__)[:17]])
    read = decode_samples(encode_samples(none))
    assert len(read.rows) == 6
    assert read.action_index.tolist() == [0] * 6
    assert np.isnan(read.novelty).all()
    assert read.feature_digest == DIGEST
