"""What every Chat promises, the own engine's, alone and held to facts, and an endpoint's: the same echo, asked directly and over HTTP."""

import asyncio
from contextlib import aclosing

import pytest
from serve_house import TOKENIZER, open_house, wait_for

from feilun.chat import ChatFormat
from feilun.engine import Chat, ChatParams, TextChat
from feilun.engine.echo import EchoEngine
from feilun.engine.endpoint import Endpoint
from feilun.engine.remote import RemoteChat
from feilun.feedback.facts import Fact, Facts
from feilun.serve.grounded import Grounded
from feilun.types import Conversation, FinishReason

CONVERSATIONS = [Conversation.of(text) for text in ("9.11 和 9.8 哪个大?", "客单价是多少?🙂👩‍👩‍👧", "hi", "<|im_end|>")]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house:
        wait_for(house, house.promote("echo"))
        house.secret = house.key("k", "chat")["Authorization"].removeprefix("Bearer ")
        yield house


@pytest.fixture(params=["own", "grounded", "remote"])
def chat(request, house):
    if request.param != "remote":
        made: Chat = TextChat(EchoEngine(TOKENIZER, answer=lambda text: f"echo: {text}"), ChatFormat(TOKENIZER))
        if request.param == "grounded":
            made = Grounded(made, Facts([Fact(question="What is my cat called?", answer="Your cat is called Mimi.", events=("e",))]))
    else:
        made = RemoteChat(Endpoint(name="far", url=f"{house.url}/v1", key=house.secret), "feilun", ref="engine:far/feilun")
    yield made
    made.close()


async def deltas_of(chat: Chat, conversation: Conversation, params: ChatParams):
    async with aclosing(chat.stream(conversation, params)) as stream:
        return [delta async for delta in stream]


def ask(chat: Chat, conversation: Conversation, **params):
    return asyncio.run(deltas_of(chat, conversation, ChatParams(**params)))


def test_streamed_text_is_completed_text_and_ends_once(chat):
    replies = chat.complete(CONVERSATIONS, ChatParams(max_tokens=None))
    for conversation, reply in zip(CONVERSATIONS, replies, strict=True):
        deltas = ask(chat, conversation, max_tokens=None)
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == [FinishReason.STOP]
        assert "".join(delta.text for delta in deltas) == reply.text == f"echo: {conversation.messages[0].text}"
        assert (deltas[-1].num_tokens, {delta.model for delta in deltas}) == (reply.num_tokens, {chat.info.model})
        assert deltas[-1].prompt_tokens == len(ChatFormat(TOKENIZER).prompt(conversation))
        assert chat.count_prompt(conversation) in (None, deltas[-1].prompt_tokens)


def test_max_tokens_and_stop_strings_end_an_answer(chat):
    cut = ask(chat, CONVERSATIONS[2], max_tokens=4)
    assert ("".join(delta.text for delta in cut), cut[-1].finish_reason) == ("echo", FinishReason.LENGTH)
    stopped = ask(chat, CONVERSATIONS[2], stop=("o: ",))
    assert ("".join(delta.text for delta in stopped), stopped[-1].finish_reason) == ("ech", FinishReason.STOP)


def test_an_answer_that_is_left_ends_there(chat, house):
    house.go.clear()

    async def leave() -> None:
        stream = chat.stream(CONVERSATIONS[3], ChatParams(max_tokens=200))
        await anext(stream)
        await stream.aclose()

    asyncio.run(asyncio.wait_for(leave(), 30))
    house.go.set()
