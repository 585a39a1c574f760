"""Answers that are used again: exact, shared among equal calls at once, and similar where that is asked for.

It knows steps, models and stores; it does not know which routes have a cache.
"""

from tidyllm.cache.answers import AnswerCache
from tidyllm.cache.backend import Backend, Lease
from tidyllm.cache.control import CacheControl
from tidyllm.cache.counts import Counts
from tidyllm.cache.memory import MemoryCache
from tidyllm.cache.prompt import MarkPolicy, mark_body, mark_request, prompt_cache_saved_usd
from tidyllm.cache.semantic import Embedder, Similar
from tidyllm.cache.shared import RedisCache
from tidyllm.cache.step import Cache
from tidyllm.cache.stored import StoreCache
from tidyllm.core.tags import CONTROL_TAG, TENANT_TAG

__all__ = [
    "CONTROL_TAG",
    "TENANT_TAG",
    "AnswerCache",
    "Backend",
    "Cache",
    "CacheControl",
    "Counts",
    "Embedder",
    "Lease",
    "MarkPolicy",
    "MemoryCache",
    "RedisCache",
    "Similar",
    "StoreCache",
    "mark_body",
    "mark_request",
    "prompt_cache_saved_usd",
]
