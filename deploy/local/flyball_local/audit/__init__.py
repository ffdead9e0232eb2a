"""The independent auditor: closes the account of a pipeline from the stored streams alone.

It shares no code with the services but the contracts: standard library, nats, numpy, flyball_proto.

    auditor = Auditor(connection, "congestion", "ran")    # role `auditor`
    account = await auditor.settle(patience_s=5)
"""

from flyball_local.audit.account import Account
from flyball_local.audit.auditor import Auditor, Beginning
from flyball_local.audit.ledger import Ledger

__all__ = ["Account", "Auditor", "Beginning", "Ledger"]
