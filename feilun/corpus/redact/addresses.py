"""Addresses of machines. What the standards set aside (loopback, masks, documentation) and public resolvers name nobody."""

import ipaddress
import re
from collections.abc import Callable, Iterator

from feilun.corpus.redact.kinds import Span, label_before
from feilun.corpus.redact.words import ADDRESS_WORDS, OTHER_WORDS, names_in

__all__ = ["find_private_addresses", "find_public_addresses"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(
    rf"(?<![0-9A-Za-z_.-])(?<![A-Za-z]/)(?:{OCTET}\.){{3}}{OCTET}(?P<network>/[0-9]{{1,2}})?(?![0-9A-Za-z_]|\.[0-9]|-[0-9A-Za-z])"
)
# Only 2000::/3 and fc00::/7 are given to anybody; so `a::b` in code is none.
IPV6 = re.compile(r"(?<![0-9A-Za-z_:.])[23fF][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?P<network>/[0-9]{1,3})?(?![0-9A-Za-z_:]|\.[0-9])")
RESOLVERS = names_in(
    """8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 114.114.114.114 114.114.115.115 223.5.5.5 223.6.6.6 119.29.29.29 180.76.76.76"""
)
SHARED = ipaddress.ip_network("100.64.0.0/10")
# A section (3.2.1.4), an OID (2.5.29.17) or a version is small in all its parts; of random addresses 3 in 10,000 are.
MAX_SECTION = 32
REQUIREMENTS = frozenset(("==", ">=", "<=", "~=", "!="))


def find_public_addresses(text: str, start: int, end: int) -> Iterator[Span]:
    return _find(text, start, end, lambda address: address.is_global and not address.is_multicast and str(address) not in RESOLVERS)


def find_private_addresses(text: str, start: int, end: int) -> Iterator[Span]:
    return _find(text, start, end, _is_private)


def _is_private(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return address in ipaddress.ip_network("fc00::/7")
    return address in SHARED or any(address in ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def _find(text: str, start: int, end: int, is_wanted: Callable[[Address], bool]) -> Iterator[Span]:
    found = []
    for match in IPV4.finditer(text, start, end):
        address = ipaddress.IPv4Address(match[0].partition("/")[0])
        if is_wanted(address) and not _is_network(address, match["network"]) and not _is_version(text, match, address):
            found.append(_span(match))
    for match in IPV6.finditer(text, start, end):
        named = _ipv6(match[0].partition("/")[0])
        if named is not None and is_wanted(named) and not _is_network(named, match["network"]):
            found.append(_span(match))
    yield from sorted(found)


def _span(match: re.Match[str]) -> Span:
    return Span(match.start(), match.end() if match["network"] is None else match.start("network"))


def _is_network(address: Address, suffix: str | None) -> bool:
    """Whether "/n" says that a whole network is meant (10.0.0.0/8), not one machine in it."""
    if suffix is None or int(suffix[1:]) > address.max_prefixlen:
        return False
    num_host_bits = address.max_prefixlen - int(suffix[1:])
    return num_host_bits > 0 and int(address) % (1 << num_host_bits) == 0


def _is_version(text: str, match: re.Match[str], address: ipaddress.IPv4Address) -> bool:
    if text[max(0, match.start() - 2) : match.start()] in REQUIREMENTS:
        return True
    label = label_before(text, match.start(), ADDRESS_WORDS, OTHER_WORDS)
    return label < 0 or (label == 0 and max(address.packed) <= MAX_SECTION)


def _ipv6(text: str) -> ipaddress.IPv6Address | None:
    if sum(bool(group) for group in text.split(":")) < 3:
        return None
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None
