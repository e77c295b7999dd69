"""Engines: tokens in, tokens out (`Engine`), and the lift to messages and text (`TextChat`).

`ENGINES` names the engines; importing this loads none of them and no torch.
"""

from feilun.engine.chat import Chat, ChatParams, TextChat, TextDelta
from feilun.engine.protocol import ENGINES, Engine, EngineClosed, EngineFault, EngineInfo, PromptTooLong, engine_class

__all__ = [
    "ENGINES",
    "Chat",
    "ChatParams",
    "Engine",
    "EngineClosed",
    "EngineFault",
    "EngineInfo",
    "PromptTooLong",
    "TextChat",
    "TextDelta",
    "engine_class",
]
