"""The verbs serve and chat."""

import argparse
import sys
from contextlib import nullcontext
from typing import Any

from feilun.cli.engines import add_engine_options, keep_engines
from feilun.cli.parser import add, add_set, model_ref
from feilun.types import UserError


def add_serve(verbs: Any) -> None:
    serve = add(verbs, "serve", run_serve, "the API and the page", begins=True)
    add_set(serve)
    serve.add_argument("--port", type=int, default=None)
    serve.add_argument("--quiet", action="store_true", help="print the address without the owner's one-time token")
    serve.add_argument("--no-watch", action="store_true", help="leave turns that the page asks for, and rollouts, to `feilun turn --watch`")
    add_engine_options(serve)
    chat = add(verbs, "chat", run_chat, "talk to a model in the terminal")
    chat.add_argument("model", nargs="?", default="champion")
    chat.add_argument("--max-tokens", type=int, default=128)
    chat.add_argument("--temperature", type=float, default=0.0)


def run_serve(options: argparse.Namespace) -> int:
    from feilun.config import ServeSettings, apply_settings
    from feilun.serve.app import run
    from feilun.status import nobody_looks
    from feilun.store import Store
    from feilun.turn import watcher_beside

    chosen = options.assignments + ([f"port={options.port}"] if options.port is not None else [])
    settings = apply_settings(ServeSettings(), chosen)
    keep_engines(options)
    if options.no_watch:
        with Store.open(options.home) as store:
            for line in nobody_looks(store):
                print(f"rollout: {line}", file=sys.stderr, flush=True)
    with nullcontext() if options.no_watch else watcher_beside(options.home):
        run(options.home, settings, on_start=lambda address: print(address.url if options.quiet else address.owner_url, flush=True))
    return 0


def run_chat(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.engine import ChatParams, TextChat
    from feilun.engine.native import NativeEngine
    from feilun.serve.grounded import held_to_lessons
    from feilun.types import Conversation

    model = find(options.home, model_ref(options.home, options.model), "models")
    engine = NativeEngine.load(model.path, threads=2, max_batch=1)
    chat = held_to_lessons(TextChat.over(engine), options.home, f"models/{model.ref}")
    params = ChatParams(temperature=options.temperature, max_tokens=options.max_tokens)
    conversation = Conversation(())
    print(f"models/{model.ref}; an empty line ends the chat", file=sys.stderr)
    for line in iter(lambda: ask("> "), ""):
        conversation = conversation.then("user", line)
        while len(conversation.messages) > 1 and (chat.count_prompt(conversation) or 0) + options.max_tokens > chat.info.context_tokens:
            conversation = Conversation(conversation.messages[2:])
            print("(the earliest question and answer no longer fit, and are forgotten)", file=sys.stderr)
        reply = chat.complete([conversation], params)[0]
        conversation = conversation.then("assistant", reply.text)
        print(reply.text, flush=True)
    return 0


def ask(prompt: str) -> str:
    try:
        return input(prompt if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"the input is not UTF-8 ({error.reason} near byte {error.start}); convert it first, as with iconv") from None
