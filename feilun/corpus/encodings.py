"""Bytes to text: UTF-8, else GB18030 where it reads as Chinese, else nothing; never a guess that makes mojibake."""

import codecs
from collections.abc import Iterable, Iterator

__all__ = ["BYTE_ORDER_MARK", "decode_line", "decode_stream", "detect_encoding"]

BYTE_ORDER_MARK = "\ufeff"
ENCODINGS = ("utf-8", "gb18030")
SAMPLE_BYTES = 1 << 20
# UTF-8 read as GB18030 often decodes without an error, into rare characters. Of the Han in real text, well over half
# (traditional script too) are among the 3,755 of GB 2312 level 1, whose lead byte is B0-D7 and trail byte A1-FE.
MIN_COMMON_SHARE = 0.5


def detect_encoding(chunks: Iterable[bytes]) -> str | None:
    """The first of `ENCODINGS` under which the whole stream is valid (and, for GB18030, plausible); None if neither is."""
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ENCODINGS}
    sample = b""
    for chunk in chunks:
        sample += chunk[: SAMPLE_BYTES - len(sample)]
        _feed(decoders, chunk, final=False)
        if not decoders:
            return None
    _feed(decoders, b"", final=True)
    if "utf-8" in decoders:
        return "utf-8"
    return "gb18030" if "gb18030" in decoders and is_plausible_chinese(sample) else None


def _feed(decoders: dict[str, codecs.IncrementalDecoder], chunk: bytes, *, final: bool) -> None:
    for name in ENCODINGS[:1] if "utf-8" in decoders and chunk.isascii() else ENCODINGS:
        if name in decoders:
            try:
                decoders[name].decode(chunk, final)
            except UnicodeDecodeError:
                del decoders[name]


def is_plausible_chinese(data: bytes) -> bool:
    """Whether bytes that decode as GB18030 read as Chinese: most of their Han are common ones."""
    text = data.decode("gb18030", errors="ignore")
    han = [character for character in text if "\u4e00" <= character <= "\u9fff"]
    common = sum(1 for character in han if _is_level_one(character))
    return bool(han) and common >= MIN_COMMON_SHARE * len(han)


def _is_level_one(character: str) -> bool:
    code = character.encode("gb18030")
    return len(code) == 2 and 0xB0 <= code[0] <= 0xD7 and code[1] >= 0xA1


def decode_stream(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)


def decode_line(line: bytes) -> tuple[str, str] | None:
    """(text, encoding) of one line, or None."""
    try:
        return line.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        encoding = detect_encoding([line])
    return (line.decode(encoding), encoding) if encoding else None
