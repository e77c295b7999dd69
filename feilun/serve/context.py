"""What the model saw: the exact prompt of an answer, token by token, how it was drawn, and which lessons had taught the model."""

import json
from typing import Any, NamedTuple

from feilun.artifacts import find, lineage
from feilun.chat import ChatFormat
from feilun.engine.chat import TextChat
from feilun.feedback.facts import taught_facts
from feilun.serve.grounded import Grounded
from feilun.serve.prompt import count_system
from feilun.serve.state import State
from feilun.store import OWNER, CompletionRecord
from feilun.tokenizer import Tokenizer
from feilun.types import Conversation, UserError

__all__ = ["context_of"]


class Prompt(NamedTuple):
    text: str
    tokens: list[dict[str, Any]]


def context_of(state: State, record: CompletionRecord) -> dict[str, Any]:
    """Of one completion. Reads files: not for the event loop.

    tokens is empty where the prompt cannot be had in tokens: the model is elsewhere, or not in the home any more.
    """
    params = dict(record.params)
    withheld, asked_as = (params.pop(name, {}) for name in ("withheld", "asked_as"))
    dropped = int(params.get("dropped", 0))
    prompt = _prompt(state, record.model, _seen(record, dropped))
    return {
        "model": record.model,
        "engine": record.decision.engine,
        "prompt": prompt.text,
        "tokens": prompt.tokens,
        "num_tokens": len(prompt.tokens) or record.prompt_tokens,
        "dropped": dropped,
        "params": params,
        "taught_by": _taught_by(state, record.model),
        "withheld": _taught_questions(state, record, set(withheld.values())),
        "asked_as": _taught_questions(state, record, set(asked_as.values())),
    }


def _taught_questions(state: State, record: CompletionRecord, events: set[str]) -> list[str]:
    """What the owner's lessons of these events ask; only the owner may read it, to others each is an empty string."""
    if record.principal != OWNER or not events:
        return [""] * len(events)
    try:
        return [fact.question for fact in taught_facts(state.home, record.model) if not events.isdisjoint(fact.events)]
    except (UserError, OSError):
        return []


def _seen(record: CompletionRecord, dropped: int) -> Conversation:
    messages = Conversation.from_json(record.messages).messages
    num_system = count_system(messages)
    return Conversation((*messages[:num_system], *messages[num_system + dropped :]))


def _prompt(state: State, model: str, conversation: Conversation) -> Prompt:
    try:
        chat_format = _chat_format(state, model)
    except (UserError, OSError):
        return Prompt(json.dumps(conversation.to_json(), ensure_ascii=False, indent=1), [])
    ids, tokenizer = chat_format.prompt(conversation), chat_format.tokenizer
    tokens = [{"id": i, "text": _shown(tokenizer, i)} for i in ids]
    return Prompt(tokenizer.decode(ids, specials=True), tokens)


def _shown(tokenizer: Tokenizer, token_id: int) -> str:
    """The text of one token; parts of a character as their bytes."""
    data = tokenizer.token_bytes(token_id)
    if not data:
        return tokenizer.decode([token_id], specials=True)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"<{byte:02X}>" for byte in data)


def _chat_format(state: State, model: str) -> ChatFormat:
    current = state.models.current
    if current is not None and current.ref == model:
        chat = current.chat.chat if isinstance(current.chat, Grounded) else current.chat
        if isinstance(chat, TextChat):
            return chat.chat_format
    return ChatFormat(Tokenizer.load(find(state.home, model, "models").path))


def _taught_by(state: State, model: str) -> list[str]:
    """Every lessons artifact that this model came from, newest first."""
    try:
        made_from = lineage(state.home, find(state.home, model, "models"))
    except (UserError, OSError):
        return []
    return [f"{artifact.kind}/{artifact.ref}" for artifact in made_from if artifact.kind == "lessons"]
