"""Labels of actions that their elements did not carry out are true, not falsified. Pure."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flyball_proto.columns import DISPATCHED, Samples


def freed(samples: Samples, not_applied: Callable[[str], bool]) -> Samples:
    """Samples without the censoring of rows whose own action was rejected or failed.

    `not_applied` answers by decision, `<pipeline>.<METRICS sequence>.<sample>`. Right only where no
    other action can fall into a label's time, see `Policy.acts_alone`.
    """
    if not len(samples.action_index):
        return samples
    own = (samples.censored == 1) & (samples.action_index > 0)
    at = np.flatnonzero(own & np.isin(samples.verdict, DISPATCHED))
    rows = samples.rows
    places = zip(at.tolist(), rows.sequence[at].tolist(), rows.sample[at].tolist(), strict=True)
    found = [i for i, *row in places if not_applied(f"{samples.pipeline}.{row[0]}.{row[1]}")]
    if not found:
        return samples
    censored = samples.censored.copy()
    censored[found] = 0
    return replace(samples, censored=censored)
