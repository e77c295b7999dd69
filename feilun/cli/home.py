"""Looking at a home, its keys, erasure: status, show, verify, forget, key."""

import argparse
from typing import Any

from feilun.cli.parser import add, add_group, model_ref


def add_home(verbs: Any) -> None:
    add(verbs, "status", run_status, "what is in the home")
    show = add(verbs, "show", run_show, "an artifact and everything that made it")
    show.add_argument("ref")
    verify = add(verbs, "verify", run_verify, "compare artifacts with their manifests")
    verify.add_argument("ref", nargs="?", default=None)
    forget = add(verbs, "forget", run_forget, "erase what a principal gave; list what to rebuild")
    forget.add_argument("principal", help="owner, key:NAME or key:NAME/USER")
    key = add_group(verbs, "key", "API keys")
    create = add(key, "create", run_key_create, "make a key and print its secret once", begins=True)
    create.add_argument("name")
    scopes = "chat, feedback, assert_end_user, exam; may be repeated (default: chat and feedback)"
    create.add_argument("--scope", action="append", default=[], dest="scopes", help=scopes)
    revoke = add(key, "revoke", run_key_revoke, "make a key worthless")
    revoke.add_argument("name")
    add(key, "list", run_key_list, "names and scopes of the keys")


def run_status(options: argparse.Namespace) -> int:
    from feilun.status import describe_home

    print("\n".join(describe_home(options.home)))
    return 0


def run_show(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.status import describe_artifact

    ref = model_ref(options.home, options.ref)
    print("\n".join(describe_artifact(options.home, find(options.home, ref))))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    from feilun.artifacts import KINDS, find, list_artifacts, verify

    chosen = [find(options.home, options.ref)] if options.ref else [a for kind in KINDS for a in list_artifacts(options.home, kind)]
    faults = [f"{a.kind}/{a.ref}: {fault}" for a in chosen for fault in verify(a)]
    print("\n".join(faults) or f"{len(chosen)} artifacts are whole")
    return 1 if faults else 0


def run_forget(options: argparse.Namespace) -> int:
    from feilun.status import forget

    print("\n".join(forget(options.home, options.principal)))
    return 0


def run_key_create(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        print(store.create_key(options.name, frozenset(options.scopes or ("chat", "feedback"))).secret)
    return 0


def run_key_revoke(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        store.revoke_key(options.name)
    return 0


def run_key_list(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        for row in store.list_keys():
            print(f"{row.name:20} {' '.join(sorted(row.scopes))}")
    return 0
