"""Names of the tags by which our own parts tell each other about a run. No caller can give a tag of such a name."""

from __future__ import annotations

__all__ = [
    "CONTROL_TAG",
    "EXPERIMENT_TAG",
    "KEY_TAG",
    "OURS",
    "ROUTE_TAG",
    "SAMPLE_TAG",
    "TEAM_TAG",
    "TENANT_TAG",
    "USER_TAG",
]

OURS = "tidyllm."
"""How they all begin."""

KEY_TAG = "tidyllm.key"
"""The id of the key that the call came with."""
TEAM_TAG = "tidyllm.team"
"""The team of that key."""
TENANT_TAG = "tidyllm.tenant"
"""For whom the run is: nobody gets an answer that was kept for another tenant."""
ROUTE_TAG = "tidyllm.route"
"""What the caller called."""
USER_TAG = "tidyllm.user"
"""The end user, as the request names them."""
EXPERIMENT_TAG = "tidyllm.experiment"
"""`name/arm/whom` of a run that went through an experiment, the last as a hash: feedback reads it in the ledger."""
CONTROL_TAG = "tidyllm.cache-control"
"""What the caller wants of caches: the value of a `cache-control` header."""
SAMPLE_TAG = "tidyllm.sample"
"""Which sample of one question this is (DSPy's rollouts and candidates): five of them are five calls, kept apart."""
