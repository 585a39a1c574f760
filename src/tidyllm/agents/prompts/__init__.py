"""The texts of agents' prompts, as data (`agents.toml`). They are read by `prompt_builder`."""

__all__: list[str] = []
