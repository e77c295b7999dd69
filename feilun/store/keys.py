"""API keys: only the hash of a secret is stored."""

import hashlib
import re
import secrets
import time

import sqlalchemy as sa

from feilun.store.rows import SCOPES, Conflict, KeyRow, NewKey, NotFound, StoreError
from feilun.store.schema import keys

# No ':' and no '/': both separate the parts of a principal.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def create(connection: sa.Connection, name: str, scopes: frozenset[str], secret: str | None = None) -> NewKey:
    if not NAME.fullmatch(name):
        raise StoreError(f"key name {name!r} is not allowed; use 1-64 letters, digits, '.', '_' or '-', a letter or digit first")
    if unknown := sorted(scopes - set(SCOPES)):
        raise StoreError(f"unknown scope {', '.join(unknown)}; allowed: {', '.join(SCOPES)}")
    if connection.execute(sa.select(keys.c.name).where(keys.c.name == name)).first():
        raise Conflict(f"a key named {name!r} exists or existed; a name is one rater for ever, choose another")
    secret = secret or new_secret()
    row = {"name": name, "secret_hash": hash_secret(secret), "scopes": sorted(scopes), "created": time.time()}
    connection.execute(keys.insert().values(row))
    return NewKey(name, secret)


def new_secret() -> str:
    return "fl-" + secrets.token_urlsafe(32)


def by_secret(connection: sa.Connection, secret: str) -> KeyRow | None:
    found = connection.execute(keys.select().where(keys.c.secret_hash == hash_secret(secret), keys.c.revoked.is_(None))).first()
    return _row(found) if found else None


def revoke(connection: sa.Connection, name: str) -> None:
    if not connection.execute(sa.select(keys.c.name).where(keys.c.name == name)).first():
        raise NotFound(f"no key named {name!r}; there: {', '.join(row.name for row in listed(connection)) or 'none'}")
    connection.execute(keys.update().where(keys.c.name == name, keys.c.revoked.is_(None)).values(revoked=time.time()))


def listed(connection: sa.Connection) -> list[KeyRow]:
    return [_row(found) for found in connection.execute(keys.select().order_by(keys.c.created, keys.c.name))]


def hash_secret(secret: str) -> str:
    # A plain hash is enough: the secret has 256 random bits, there is nothing to guess from a dictionary.
    return hashlib.sha256(secret.encode()).hexdigest()


def _row(found: sa.Row[tuple[object, ...]]) -> KeyRow:
    row = found._mapping
    return KeyRow(name=row["name"], scopes=frozenset(row["scopes"]), created=row["created"], revoked=row["revoked"])
