"""`flyball demo`: the whole story of the loop on a simulated network, in about two minutes.

`script` says what happens when, `stage` plays it in lockstep, `story` turns what the loop says of
itself into lines, `losses` reckons how good decisions were (all but `stage` pure), `seen` tells of the
network and of verdicts, `ending` sums up, `operator` is the person who answers holds, `planter` the
one who plants models, `living` tells of a network in real time.
"""

from flyball_local.demo.living import Story
from flyball_local.demo.script import SHORT, SPEC, DemoOptions, Script
from flyball_local.demo.stage import Ending, demo

__all__ = ["SHORT", "SPEC", "DemoOptions", "Ending", "Script", "Story", "demo"]
