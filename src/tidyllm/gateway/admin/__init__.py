"""The admin API under `/admin/v1`: parses, calls `access`, answers. It knows no models and no traffic."""

from __future__ import annotations

from tidyllm.gateway.admin.app import admin_app
from tidyllm.gateway.admin.asked import SpendQuery
from tidyllm.gateway.admin.fetch import fetcher

__all__ = ["SpendQuery", "admin_app", "fetcher"]
