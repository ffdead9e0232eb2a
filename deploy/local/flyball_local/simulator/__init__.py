"""A radio access network that never was: load, handovers, faults, and actions with an effect.

`network` lays it out, `radio` moves it second by second (both pure and seeded), `cells` lets each
cell speak through a NATS connection of its own.
"""
