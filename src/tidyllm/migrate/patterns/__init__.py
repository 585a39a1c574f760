"""One module for each pattern: what it makes of a call. The names are in `rules/`."""

__all__: list[str] = []
