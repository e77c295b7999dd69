"""What every engine promises; run over each of them."""

import asyncio

import pytest
import torch

from feilun.config import ModelShape, TokenizerSettings
from feilun.engine import ENGINES, EngineClosed, PromptTooLong, engine_class
from feilun.engine.chat import ChatParams, TextChat
from feilun.model.checkpoint import save_model
from feilun.model.transformer import Transformer
from feilun.tokenizer import Tokenizer
from feilun.types import Conversation, FinishReason, GenerationRequest, UserError

TEXTS = [
    "9.11 和 9.8 哪个大?",
    "客单价是多少?🙂👩‍👩‍👧",
    "hi",
    "a longer question with many more words in it than the others have",
    "<|im_end|>",
]
CONVERSATIONS = [Conversation.of(text) for text in TEXTS]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    tokenizer = Tokenizer.train(["哪个大? The larger number is 9.8. hello\n" * 20], TokenizerSettings(vocab_size=384, num_reserved=8))
    shape = ModelShape(vocab_size=384, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=64, max_tokens=256)
    model, generator = Transformer(shape), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (parameter.ndim == 1))
    path = tmp_path_factory.mktemp("models") / "tiny"
    save_model(path, model, tokenizer, chat=True)
    return path


@pytest.fixture(params=ENGINES)
def engine(request, directory):
    made = engine_class(request.param).load(directory, model="models/tiny@0", max_batch=3)
    yield made
    made.close()


@pytest.fixture
def chat(engine):
    return TextChat.over(engine)


def ids_of(events) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(event.request_id, []).append(event.token_id)
    return found


def requests_of(chat, **params) -> list[GenerationRequest]:
    return [chat.request(c, ChatParams(max_tokens=12, **params), f"r{n}") for n, c in enumerate(CONVERSATIONS)]


def test_info_states_engine_and_model(engine) -> None:
    assert engine.info.model == "models/tiny@0"
    assert engine.info.engine in ENGINES
    assert {"generate", "stream", "score", "embed"} <= engine.info.capabilities


def test_every_request_ends_exactly_once_and_events_name_the_model(chat) -> None:
    events = list(chat.engine.generate(requests_of(chat)))
    ends = [event.request_id for event in events if event.finish_reason is not None]
    assert sorted(ends) == [f"r{n}" for n in range(len(TEXTS))]
    for event in events:
        assert event.model == "models/tiny@0"
        assert event.log_prob <= 0.0
        assert event.token_bytes == chat.engine.tokenizer.token_bytes(event.token_id)


@pytest.mark.parametrize("params", [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 7}])
def test_batched_equals_single_in_any_order(chat, params) -> None:
    requests = requests_of(chat, **params)
    together = ids_of(chat.engine.generate(requests))
    assert ids_of(chat.engine.generate(requests[::-1])) == together
    for request in requests:
        assert ids_of(chat.engine.generate([request])) == {request.id: together[request.id]}


def test_streams_equal_generation(chat) -> None:
    requests = requests_of(chat, temperature=0.7, seed=3)
    expected = ids_of(chat.engine.generate(requests))

    async def ask(request):
        return [event.token_id async for event in chat.engine.stream(request)]

    async def ask_all():
        return await asyncio.gather(*map(ask, requests))

    assert asyncio.run(ask_all()) == [expected[request.id] for request in requests]
    assert chat.engine.num_requests == 0


def test_streamed_text_equals_completed_text(chat) -> None:
    params = ChatParams(max_tokens=30, temperature=1.0, seed=11)
    replies = chat.complete(CONVERSATIONS, params)

    async def ask(conversation):
        return [delta async for delta in chat.stream(conversation, params)]

    for conversation, reply in zip(CONVERSATIONS, replies, strict=True):
        deltas = asyncio.run(ask(conversation))
        assert "".join(delta.text for delta in deltas) == reply.text
        assert (deltas[-1].finish_reason, deltas[-1].num_tokens) == (reply.finish_reason, reply.num_tokens)
        assert deltas[-1].prompt_tokens == len(chat.chat_format.prompt(conversation))


def test_score_equals_sampling_log_probs(chat) -> None:
    for request in requests_of(chat, temperature=0.9, seed=2):
        events = list(chat.engine.generate([request]))
        row = [*request.ids, *(event.token_id for event in events)]
        mask = [0] * len(request.ids) + [1] * len(events)
        assert chat.engine.score([row], [mask])[0] == pytest.approx([event.log_prob for event in events], abs=0.05)


def test_max_tokens_ends_with_length(chat) -> None:
    reply = chat.complete([Conversation.of("a long enough message to echo")], ChatParams(max_tokens=2))[0]
    assert (reply.finish_reason, reply.num_tokens) == (FinishReason.LENGTH, 2)


def test_closing_a_stream_frees_its_place(chat) -> None:
    async def abandon_and_ask() -> list[int]:
        for n in range(8):
            stream = chat.engine.stream(chat.request(CONVERSATIONS[3], ChatParams(max_tokens=200, temperature=1.0), f"gone{n}"))
            await anext(stream)
            await stream.aclose()
        assert chat.engine.num_requests == 0
        return [event.token_id async for event in chat.engine.stream(requests_of(chat)[0])]

    expected = ids_of(chat.engine.generate(requests_of(chat)[:1]))["r0"]
    assert asyncio.run(asyncio.wait_for(abandon_and_ask(), 30)) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": ()}, "empty"),
        ({"ids": (1, 384)}, "0..383"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
    ],
)
def test_what_cannot_be_answered_is_a_user_error(chat, change, words: str) -> None:
    bad = GenerationRequest(**{"id": "x", "ids": (1, 2), "max_tokens": 3, **change})

    async def ask() -> None:
        async for _ in chat.engine.stream(bad):
            pass

    with pytest.raises(UserError, match=words):
        chat.engine.generate([bad])
    with pytest.raises(UserError, match=words):
        asyncio.run(ask())


def test_a_prompt_longer_than_the_context_is_refused(engine) -> None:
    with pytest.raises(PromptTooLong, match="shorten"):
        engine.generate([GenerationRequest(id="x", ids=(1,) * engine.info.context_tokens, max_tokens=1)])


def test_two_requests_with_one_id_are_refused(chat) -> None:
    with pytest.raises(UserError, match="same id"):
        chat.engine.generate(requests_of(chat)[:1] * 2)


def test_a_closed_engine_says_so(chat) -> None:
    chat.engine.close()
    chat.engine.close()
    with pytest.raises(EngineClosed):
        chat.engine.generate(requests_of(chat))

    async def ask() -> None:
        await anext(chat.engine.stream(requests_of(chat)[0]))

    with pytest.raises(EngineClosed):
        asyncio.run(ask())


def test_closing_ends_running_streams(chat) -> None:
    request = chat.request(CONVERSATIONS[3], ChatParams(max_tokens=200, temperature=1.0, seed=1))

    async def ask() -> None:
        stream = chat.engine.stream(request)
        await anext(stream)
        await asyncio.to_thread(chat.engine.close)
        try:
            rest = [event async for event in stream]
        except EngineClosed:
            return
        # It may also have been answered before it could be closed.
        assert rest[-1].finish_reason is not None

    asyncio.run(asyncio.wait_for(ask(), 30))


def test_draining_answers_first(engine, chat) -> None:
    request = requests_of(chat)[0]
    expected = ids_of(engine.generate([request]))[request.id]
    if engine.info.engine == "echo":
        return

    async def ask() -> list[int]:
        stream = engine.stream(request)
        first = await anext(stream)
        await asyncio.to_thread(engine.close, drain=True)
        return [first.token_id, *[event.token_id async for event in stream]]

    assert asyncio.run(asyncio.wait_for(ask(), 30)) == expected


def test_embeddings_are_unit_vectors(engine) -> None:
    first, second = engine.embed([(5, 6, 7), (9,)])
    assert sum(x * x for x in first) == pytest.approx(1.0, abs=1e-4)
    assert len(first) == len(second)
