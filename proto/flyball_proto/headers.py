"""Names of the NATS headers that Flyball writes. A header that is not here does not exist."""

from typing import Final

EXPECT: Final = "Nats-Expected-Last-Subject-Sequence"
"""Compare-and-set: the sequence of the last message on this subject; 0 = there is none."""

MESSAGE_ID: Final = "Nats-Msg-Id"
"""De-duplication id within the stream's window. Never together with `EXPECT`."""

POSITION: Final = "Flyball-Position"
"""`<first> <last> <since> <time_ns> <epoch>`: input sequences that this output commits."""

OWNER: Final = "Flyball-Owner"
"""Random id of the fold instance that wrote this output."""

MARK: Final = "Flyball-Mark"
"""The lockstep mark that the fold stands right behind; kept by empty commits at that position."""

MEMO: Final = "Flyball-Memo"
"""What a fold must not forget and no input tells it; kept by empty commits, given back at start."""

CHAIN: Final = "Flyball-Chain"
"""`<number> <hash>`: how many outputs the subject has, and the running SHA-256 over their payloads.

Kept by empty commits; see `flyball_proto.chains`.
"""

COVERS: Final = "Flyball-Covers"
"""`<domain>.<stream> <first> <last>`: the METRICS sequences behind this output."""

KEY: Final = "Flyball-Key"
"""`<sequence> <index>`: the place in the dispatcher's input that a message comes from.

It only grows on a subject, so that what is not newer than the last stored one was sent before.
"""

CHANGES: Final = "Flyball-Changes"
"""How many holds opened, ended or were answered in these verdicts; absent = none."""

REASONS: Final = "Flyball-Reasons"
"""Comma-separated reason codes on a quarantined report."""

CONTENT_TYPE: Final = "Content-Type"
"""`application/json` (the default) or `application/x-protobuf` on a report."""

ORIGINAL_SUBJECT: Final = "Flyball-Original-Subject"
"""Where a dead-lettered or quarantined message was first published."""

ORIGINAL_SEQUENCE: Final = "Flyball-Original-Sequence"
"""Stream sequence of a dead-lettered or quarantined message."""

ERROR: Final = "Flyball-Error"
"""`<kind>: <message>` on a dead letter."""
