"""What speaks against a proposal goes all the way round: bundle, decision, verdict, sample."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from nats.aio.client import Client
from tests.loop.driving import LEARNING, write_learnable

from flyball_local import specfile
from flyball_local.audit.stored import read
from flyball_local.playing.observed import connected
from flyball_local.playing.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.session import open_session
from flyball_proto.columns import (
    Decisions,
    Samples,
    Verdicts,
    decode_decisions,
    decode_samples,
    decode_verdicts,
)

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("doubts")]

SECONDS, STRANGE_S = 1_500, 1_400
SPEC = (
    LEARNING
    + """\
  decisions: [{action: cool, score_at_least: 0.5, cooldown: 1s}]
  risk: {budgets: {actions_per_minute: 1000}}
"""
)

T = TypeVar("T", Decisions, Verdicts, Samples)


async def stored(client: Client, subject: str, decode: Callable[[bytes], T]) -> list[T]:
    """Everything on a subject, in order."""
    found, after, stream = list[T](), 0, subject.split(".", maxsplit=1)[0].upper()
    while messages := await read(client, stream, subject, after):
        after = messages[-1].sequence
        found += [decode(m.data) for m in messages if m.data]
    return found


def signals(batches: list[Decisions]) -> Iterator[tuple[int, bool, float, float, list[float]]]:
    """(sequence, whether a learnt model answered, novelty, disagreement, features) a proposal."""
    for batch in batches:
        proposing = np.flatnonzero(batch.action_index)
        assert len(batch.doubts.novelty) == len(batch.doubts.feature) == len(proposing)
        for nth, i in enumerate(proposing.tolist()):
            yield (
                int(batch.rows.sequence[i]),
                batch.model[batch.model_index[i]].trained_ms > 0,
                float(batch.doubts.novelty[nth]),
                float(batch.doubts.disagreement[nth]),
                batch.doubts.feature[nth].tolist(),
            )


async def test_every_proposal_of_a_learnt_model_is_doubted_and_its_sample_says_how(
    tmp_path: Path,
) -> None:
    spec, csv = tmp_path / "plant.yaml", tmp_path / "plant.csv"
    spec.write_text(SPEC)
    write_learnable(csv, seconds=SECONDS)
    options = ReplayOptions(spec, csv, say=lambda _: None)
    async with open_session(None, lambda _: None, LOCKSTEP) as session:
        await replay_on(session, specfile.load(spec), options)
        async with connected(session, "operator") as client:
            decisions = await stored(client, "decisions.plant.0", decode_decisions)
            verdicts = await stored(client, "verdicts.plant.0", decode_verdicts)
            samples = await stored(client, "samples.plant.*.0", decode_samples)
    told = list(signals(decisions))
    learnt = [signal for signal in told if signal[1]]
    assert len(learnt) > 500
    novelty = np.array([signal[2] for signal in learnt])
    assert np.isfinite(novelty).all()
    assert np.isfinite([signal[3] for signal in learnt]).all()  # also right behind each flip
    assert (novelty < 0.05).mean() < 0.3
    assert all(
        np.isnan(signal[2]) for signal in told if not signal[1]
    )  # the baseline learnt nothing
    judged = np.concatenate([v.assessment.novelty for v in verdicts])
    assert judged.tolist() == pytest.approx([signal[2] for signal in told], nan_ok=True)
    doubted = {signal[0]: signal for signal in told}
    for batch in samples:
        for i, sequence in enumerate(batch.rows.sequence.tolist()):
            known = doubted.get(sequence)
            assert (batch.action_index[i] > 0) == (known is not None)
            if known is not None:
                found = [batch.novelty[i], batch.disagreement[i], *batch.feature[i]]
                assert found == pytest.approx([*known[2:4], *known[4]], nan_ok=True)
