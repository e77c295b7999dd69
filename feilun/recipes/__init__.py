"""One Python file a run: `recipe() -> feilun.config.Recipe`; people write them, released ones are never edited."""
