"""Conversation <-> token ids and loss mask. The only chat format: ChatML.

<|im_start|>role\\ncontent<|im_end|>\\n        and, for an answer to come, <|im_start|>assistant\\n
"""

from typing import NamedTuple

from feilun.tokenizer import CHAT_TEMPLATE, END_OF_TEXT, IM_END, IM_START, Tokenizer
from feilun.types import Conversation, Message, UserError

__all__ = ["TEMPLATE", "ChatFormat", "TrainingRow"]

TEMPLATE = CHAT_TEMPLATE


class TrainingRow(NamedTuple):
    """`mask[i]` is 1 where `ids[i]` is to be predicted: the assistant's tokens and the <|im_end|> that ends them."""

    ids: list[int]
    mask: list[int]


class ChatFormat:
    """The chat words of one tokenizer. What people write is encoded without control tokens."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self._start, self._end = tokenizer.id_of(IM_START), tokenizer.id_of(IM_END)
        self._newline = tokenizer.encode("\n")
        self._answer_header = [self._start, *tokenizer.encode("assistant\n")]
        self.stop_ids: tuple[int, ...] = (self._end, tokenizer.id_of(END_OF_TEXT))

    def prompt(self, conversation: Conversation) -> list[int]:
        """Ids up to and with the assistant's header: what an engine continues."""
        _check(conversation)
        ids: list[int] = []
        for message in conversation.messages:
            ids += self._message(message).ids + self._newline
        return ids + self._answer_header

    def training(self, conversation: Conversation) -> TrainingRow:
        """Ids and mask of a whole conversation; the newline after the last message is left out, it teaches nothing."""
        _check(conversation)
        ids: list[int] = []
        mask: list[int] = []
        for message in conversation.messages:
            if ids:
                ids += self._newline
                mask += [0] * len(self._newline)
            row = self._message(message)
            ids += row.ids
            mask += row.mask
        if not any(mask):
            raise UserError("a conversation without an assistant message has nothing to learn from")
        return TrainingRow(ids, mask)

    def _message(self, message: Message) -> TrainingRow:
        if message.role == "assistant":
            # Encoded apart from its header, because an engine too continues from the header's last token.
            body = [*self.tokenizer.encode(message.text), self._end]
            return TrainingRow(self._answer_header + body, [0] * len(self._answer_header) + [1] * len(body))
        ids = [self._start, *self.tokenizer.encode(f"{message.role}\n{message.text}"), self._end]
        return TrainingRow(ids, [0] * len(ids))


def _check(conversation: Conversation) -> None:
    if not conversation.messages:
        raise UserError("a conversation needs at least one message")
