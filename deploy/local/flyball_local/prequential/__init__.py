"""How good the decisions really taken were, and what else could have been had on the same rows.

    gathering = Gathering(client, pipeline, after)      # follows SAMPLES while the replay runs
    found = await compare(gathering.evidence(), models, fetch)

Reads only streams, records and bundles: nothing here is shared with the registry, which judges by
its own account.
"""

from flyball_local.prequential.figures import Candidate, Comparison, Evidence, Figures
from flyball_local.prequential.gathering import Gathering
from flyball_local.prequential.rescoring import Bundles, compare

__all__ = ["Bundles", "Candidate", "Comparison", "Evidence", "Figures", "Gathering", "compare"]
