"""A radio access network that never was: load, crowds, faults, and actions with an effect.

`network` lays it out, `crowds` move through it, `radio` moves all second by second (all pure and
seeded), `cells` lets each cell speak through a NATS connection of its own, `rehearsal` plays it in
lockstep.
"""
