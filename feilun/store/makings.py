"""What costs long to make and follows from its maker alone, kept by name. Nothing that anybody said: an erasure leaves it."""

from typing import Any

import sqlalchemy as sa

from feilun.store.schema import makings


def found(connection: sa.Connection, name: str, maker: str) -> Any:
    """None where nothing is kept under this name, or another maker made it."""
    same = (makings.c.name == name) & (makings.c.maker == maker)
    return connection.execute(sa.select(makings.c.body).where(same)).scalar()


def keep(connection: sa.Connection, name: str, maker: str, body: Any) -> None:
    """Put this in the place of what stood under the name."""
    connection.execute(makings.delete().where(makings.c.name == name))
    connection.execute(makings.insert().values(name=name, maker=maker, body=body))
