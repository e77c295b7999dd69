"""What costs long to make and follows from its maker alone, kept by name. Nothing that anybody said: an erasure leaves it."""

from typing import Any

import sqlalchemy as sa

from feilun.store.database import Database
from feilun.store.schema import makings


class Makings:
    """maker: a hash of all that the making depends on beside its name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def found(self, name: str, maker: str) -> Any:
        """None where nothing is kept under this name, or another maker made it."""
        same = (makings.c.name == name) & (makings.c.maker == maker)
        return self._database.read(lambda c: c.execute(sa.select(makings.c.body).where(same)).scalar())

    def keep(self, name: str, maker: str, body: Any) -> None:
        """Put this in the place of what stood under the name."""

        def put(connection: sa.Connection) -> None:
            connection.execute(makings.delete().where(makings.c.name == name))
            connection.execute(makings.insert().values(name=name, maker=maker, body=body))

        self._database.write(put)
