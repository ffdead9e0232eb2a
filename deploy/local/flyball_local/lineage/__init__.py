"""Where a decision or a model comes from: which model, why it was active, what it learnt from, who approved.

`finding` reads streams, buckets and bundles; `trail` is what was found and how it reads (pure).
"""

from flyball_local.lineage.finding import lineage
from flyball_local.lineage.trail import Trail, lines

__all__ = ["Trail", "lineage", "lines"]
