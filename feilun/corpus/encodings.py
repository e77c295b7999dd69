"""Bytes to text: UTF-8, else GB18030 where it reads as Chinese, else nothing; never a guess that makes mojibake."""

import codecs
from collections.abc import Callable, Iterable, Iterator

__all__ = ["BYTE_ORDER_MARK", "LineDecoder", "decode_stream", "detect_encoding"]

BYTE_ORDER_MARK = "\ufeff"
ENCODINGS = ("utf-8", "gb18030")
SAMPLE_BYTES = 1 << 20
# UTF-8, Big5 and Shift-JIS read as GB18030 often decode without an error, into rare characters. Of the Han in real text
# .25-.55 are among these, in either script (1st percentile of documents .18; of poems .09); of Big5 misread, .02 (95th .16).
COMMON_HAN = frozenset(
    "的一是不了在人有我他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者"
    "多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从知使全两间高问文些本把最新想意理加老被手长重月点明开关因由很"
    "水动山风五四相何這為來個們說國時過學發會對後無從兩長種將還進經當樣開關問間見點動軍裡與風處應現實機體"
)
MIN_COMMON_SHARE = 0.13
# UTF-8 with a few broken bytes still holds whole three-byte Han; in real GB18030 such runs of bytes are rare.
MAX_UTF8_SHARE = 0.05


def detect_encoding(content: Callable[[], Iterable[bytes]]) -> str | None:
    """The first of `ENCODINGS` under which the whole stream is valid (and, for GB18030, plausible); None if neither is."""
    for encoding in ENCODINGS:
        if _is_valid(content(), encoding):
            return encoding if encoding == "utf-8" or is_plausible_chinese(_sample(content())) else None
    return None


def _is_valid(chunks: Iterable[bytes], encoding: str) -> bool:
    try:
        for _ in decode_stream(chunks, encoding):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _sample(chunks: Iterable[bytes]) -> bytes:
    sample = b""
    for chunk in chunks:
        sample += chunk[: SAMPLE_BYTES - len(sample)]
        if len(sample) == SAMPLE_BYTES:
            break
    return sample


def is_plausible_chinese(data: bytes) -> bool:
    """Whether bytes that decode as GB18030 read as Chinese: enough of their Han are common ones, and they are no broken UTF-8."""
    han = _han(data.decode("gb18030", errors="ignore"))
    common = sum(1 for character in han if character in COMMON_HAN)
    as_utf8 = _han(data.decode("utf-8", errors="ignore"))
    return bool(han) and common >= MIN_COMMON_SHARE * len(han) and len(as_utf8) <= MAX_UTF8_SHARE * len(han)


def _han(text: str) -> list[str]:
    return [character for character in text if "\u4e00" <= character <= "\u9fff"]


def decode_stream(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)


class LineDecoder:
    """Lines of one file. The first that is not UTF-8 has the whole file looked at: one line cannot tell GB18030 from broken UTF-8."""

    def __init__(self, content: Callable[[], Iterable[bytes]]) -> None:
        self._content = content
        self._fallback: str | None = None
        self._looked = False

    def decode(self, line: bytes) -> tuple[str, str] | None:
        """(text, encoding), or None."""
        try:
            return line.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            pass
        if not self._looked:
            self._fallback, self._looked = detect_encoding(self._content), True
        if self._fallback in (None, "utf-8"):
            return None
        return line.decode(self._fallback or ""), "gb18030"
