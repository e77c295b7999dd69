"""Looking at a home, its keys, erasure: status, show, verify, forget, key."""

import argparse
from typing import Any

from feilun.cli.parser import add, add_group, model_ref
from feilun.types import UserError


def add_home(verbs: Any) -> None:
    add(verbs, "status", run_status, "what is in the home")
    show = add(verbs, "show", run_show, "an artifact and everything that made it, or a turn in plain words")
    show.add_argument("ref", help="name@hash, champion, candidate, or the name of a turn")
    show.add_argument("--lang", default="en", help="of a turn's account: zh or en (default: en)")
    verify = add(verbs, "verify", run_verify, "compare artifacts with their manifests")
    verify.add_argument("ref", nargs="?", default=None)
    forget = add(verbs, "forget", run_forget, "erase what somebody said, and what was made of it")
    forget.add_argument("who", nargs="?", help="user:ID (of every key), owner, key:NAME or key:NAME/USER")
    forget.add_argument("--retrain", action="store_true", help="and make the champion again without it, by the settings of its own turn")
    add_retention(verbs)
    key = add_group(verbs, "key", "API keys")
    create = add(key, "create", run_key_create, "make a key and print its secret once", begins=True)
    create.add_argument("name")
    scopes = "chat, feedback, assert_end_user, exam, desk; may be repeated (default: chat and feedback)"
    create.add_argument("--scope", action="append", default=[], dest="scopes", help=scopes)
    revoke = add(key, "revoke", run_key_revoke, "make a key worthless")
    revoke.add_argument("name")
    add(key, "list", run_key_list, "names and scopes of the keys")


def add_retention(verbs: Any) -> None:
    retention = add_group(verbs, "retention", "how long what people say is kept")
    add(retention, "show", run_retention_show, "the days, and what is past them (nothing is changed)")
    days = add(retention, "set", run_retention_set, "set the days")
    days.add_argument("--chats", type=int, default=None, metavar="DAYS", help="a conversation after its last answer; 0: for ever")
    days.add_argument("--events", type=int, default=None, metavar="DAYS", help="what an event says; 0: for ever")
    held_out = "what is held out and measures goes by the same days"
    days.add_argument("--held-out", action=argparse.BooleanOptionalAction, default=None, help=held_out)
    add(retention, "apply", run_retention_apply, "erase what is past its days; `feilun turn --watch` does it once a day")


def run_retention_show(options: argparse.Namespace) -> int:
    from feilun.store import Store
    from feilun.turn import retention

    with Store.open(options.home) as store:
        kept = retention.kept_for(store)
        print(retention.told_kept(kept))
        print("\n".join(retention.told_overdue(retention.overdue(store, kept), (), dry=True)))
    return 0


def run_retention_set(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from feilun.store import Store
    from feilun.turn import retention

    given = {"chat_days": options.chats, "event_days": options.events, "held_out": options.held_out}
    with Store.open(options.home) as store:
        kept = replace(retention.kept_for(store), **{name: value for name, value in given.items() if value is not None})
        retention.keep_for(store, kept)
    return run_retention_show(options)


def run_retention_apply(options: argparse.Namespace) -> int:
    from feilun.store import Store
    from feilun.turn import retention

    with Store.open(options.home) as store:
        found, swept = retention.apply_retention(options.home, store)
    print("\n".join(retention.told_overdue(found, swept.entombed, dry=False)))
    return 0


def run_status(options: argparse.Namespace) -> int:
    from feilun.status import describe_home

    print("\n".join(describe_home(options.home)))
    return 0


def run_show(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.status import describe_artifact

    if account := told_turn(options):
        print(account, end="")
        return 0
    ref = model_ref(options.home, options.ref)
    print("\n".join(describe_artifact(options.home, find(options.home, ref, erased_too=True))))
    return 0


def told_turn(options: argparse.Namespace) -> str:
    """The account of the turn that was named; empty where the word names none."""
    from feilun.feedback.account import kept_account
    from feilun.store import Store

    if "@" in options.ref or not (options.home / "feilun.db").exists():
        return ""
    with Store.open(options.home) as store:
        named = [turn for turn in store.turns() if options.ref in (turn.id, turn.plan.get("name"))]
        return kept_account(options.home, store, named[-1], options.lang) if named else ""


def run_verify(options: argparse.Namespace) -> int:
    from feilun.artifacts import KINDS, find, list_artifacts, verify

    named, everything = options.ref, (a for kind in KINDS for a in list_artifacts(options.home, kind))
    chosen = [find(options.home, named, erased_too=True)] if named else list(everything)
    faults = [f"{a.kind}/{a.ref}: {fault}" for a in chosen for fault in verify(a)]
    num_receipts = 0
    if not options.ref and (options.home / "feilun.db").exists():
        from feilun.store import Store
        from feilun.turn import receipt_faults

        with Store.open(options.home) as store:
            faults += receipt_faults(options.home, store)
            num_receipts = len(store.receipts())
    receipts = f", {num_receipts} receipts of turns fit together" if num_receipts else ""
    print("\n".join(faults) or f"{len(chosen)} artifacts are whole{receipts}")
    return 1 if faults else 0


def run_forget(options: argparse.Namespace) -> int:
    from feilun.progress import progress_bar
    from feilun.store import Store
    from feilun.turn import forget

    if options.who is None and not options.retrain:
        raise UserError("name somebody: feilun forget user:ID; or say --retrain, to make the champion again after earlier erasures")
    if options.who is not None:
        found = forget.forget(options.home, options.who)
        with Store.open(options.home) as store:
            print("\n".join(forget.told(store, found)), flush=True)
    if not options.retrain:
        return 0
    with progress_bar() as show:
        made = forget.retrain(options.home, progress=show.update)
    with Store.open(options.home) as store:
        print("\n".join(forget.told_retrained(options.home, store, made)))
    return 1 if made.owed else 0


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
