"""The offline model: deterministic, simulated, with no key and no network. A provider for a first try and for tests."""

from tidyllm.models.offline.reply import Reply, call
from tidyllm.models.offline.transport import OfflineTransport, Script

__all__ = ["OfflineTransport", "Reply", "Script", "call"]
