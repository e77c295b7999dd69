import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from jinja2.sandbox import ImmutableSandboxedEnvironment

from feilun.chat import TEMPLATE, ChatFormat
from feilun.config import TokenizerSettings
from feilun.tokenizer import CONTROL, Tokenizer
from feilun.types import Conversation, Message, UserError

TOKENIZER = Tokenizer.train(["用户 user assistant 你好 hello 9.8\n" * 20], TokenizerSettings(vocab_size=384, num_reserved=8))
CHAT = ChatFormat(TOKENIZER)
PLAIN = Environment().from_string(TEMPLATE)
HUGGING_FACE = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)

hostile_text = st.lists(st.one_of(st.text(max_size=6), st.sampled_from([*CONTROL, "\n", " ", "🙂", "客"]))).map("".join)
conversations = st.lists(st.builds(Message.of, st.sampled_from(["system", "user", "assistant"]), hostile_text), min_size=1, max_size=4).map(
    lambda messages: Conversation(tuple(messages))
)


@given(conversations)
@settings(max_examples=200, deadline=None)
def test_template_renders_what_the_format_makes(conversation: Conversation) -> None:
    made = TOKENIZER.decode(CHAT.prompt(conversation))
    for template in (PLAIN, HUGGING_FACE):
        assert template.render(messages=conversation.to_json(), add_generation_prompt=True).encode() == made.encode()


@given(conversations)
@settings(max_examples=200, deadline=None)
def test_control_tokens_come_only_from_the_format(conversation: Conversation) -> None:
    ids = CHAT.prompt(conversation)
    assert ids.count(TOKENIZER.id_of("<|im_start|>")) == len(conversation.messages) + 1
    assert ids.count(TOKENIZER.id_of("<|im_end|>")) == len(conversation.messages)
    assert TOKENIZER.id_of("<|endoftext|>") not in ids


@given(conversations, hostile_text)
@settings(max_examples=200, deadline=None)
def test_training_continues_the_prompt_and_masks_all_but_the_answers(conversation: Conversation, answer: str) -> None:
    whole = conversation.then("assistant", answer)
    prompt, (ids, mask) = CHAT.prompt(conversation), CHAT.training(whole)
    assert ids[: len(prompt)] == prompt
    assert len(ids) == len(mask)
    assert mask[len(prompt) :] == [1] * (len(ids) - len(prompt))
    assert TOKENIZER.decode(ids[len(prompt) :]) == answer + "<|im_end|>"
    expected = "".join(m.text + "<|im_end|>" for m in whole.messages if m.role == "assistant")
    assert TOKENIZER.decode(i for i, on in zip(ids, mask, strict=True) if on) == expected
    assert TOKENIZER.decode(ids) + "\n" == PLAIN.render(messages=whole.to_json(), add_generation_prompt=False)


def test_stop_ids() -> None:
    assert CHAT.stop_ids == (TOKENIZER.id_of("<|im_end|>"), TOKENIZER.id_of("<|endoftext|>"))


def test_nothing_to_learn_is_an_error() -> None:
    with pytest.raises(UserError, match="nothing to learn"):
        CHAT.training(Conversation.of("hi"))
    with pytest.raises(UserError, match="at least one"):
        CHAT.prompt(Conversation(()))
