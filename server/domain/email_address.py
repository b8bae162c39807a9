"""E-mail addresses as keys: one spelling to store, a looser one to match by."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_LOCAL, MAX_DOMAIN, MAX_ADDRESS, MAX_LABEL = 64, 255, 254, 63  # octets, RFC 5321 4.5.3.1 and RFC 1035

_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+/=?^_`{|}~-.")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_GMAIL = frozenset(("gmail.com", "googlemail.com"))

_FREE_MAIL = frozenset(
    """
gmail.com googlemail.com outlook.com outlook.de outlook.fr hotmail.com hotmail.co.uk hotmail.de hotmail.fr
hotmail.it live.com live.de live.co.uk live.fr msn.com yahoo.com yahoo.de yahoo.fr yahoo.co.uk yahoo.co.jp
yahoo.co.in yahoo.es yahoo.it yahoo.com.br yahoo.com.cn yahoo.cn ymail.com rocketmail.com aol.com aim.com
icloud.com me.com mac.com gmx.de gmx.net gmx.at gmx.ch gmx.com web.de freenet.de t-online.de arcor.de
mail.de posteo.de mailbox.org proton.me protonmail.com protonmail.ch pm.me tutanota.com tuta.io fastmail.com
zoho.com mail.com mail.ru inbox.ru list.ru bk.ru yandex.ru yandex.com ya.ru rambler.ru ukr.net orange.fr
wanadoo.fr free.fr laposte.net sfr.fr libero.it virgilio.it tiscali.it terra.com.br uol.com.br bol.com.br
wp.pl o2.pl onet.pl interia.pl seznam.cz centrum.cz naver.com daum.net hanmail.net nate.com docomo.ne.jp
ezweb.ne.jp softbank.ne.jp btinternet.com comcast.net verizon.net att.net rediffmail.com
qq.com vip.qq.com foxmail.com 163.com vip.163.com 126.com vip.126.com yeah.net 188.com sina.com sina.cn
vip.sina.com sina.com.cn sohu.com vip.sohu.com 139.com 189.cn wo.cn 21cn.com tom.com aliyun.com 263.net
hongkong.com pchome.com.tw yahoo.com.tw yahoo.com.hk netvigator.com
""".split()
)


@lru_cache(maxsize=4096)
def normalise_email(raw: str | None) -> str | None:
    """The address in lower case with an IDNA (A-label) domain; None when it is not one.

    One bare address only: spaces around it, ``<...>`` and ``mailto:`` are taken off, but display names,
    comments, quoted local parts, address literals and hosts without a dot are refused, because every
    reader of such an address understands another one.
    """
    if raw is None or len(raw) > 1000:
        return None
    text = raw.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip()
    if text[:7].casefold() == "mailto:":
        text = text[7:]
    local, at, domain = unicodedata.normalize("NFC", text).replace("\uff20", "@").rpartition("@")
    if not at:
        return None
    local = _local_part(local)
    host = _host(domain)
    if not local or not host or len(local.encode()) + 1 + len(host) > MAX_ADDRESS:
        return None
    return f"{local}@{host}"


def _local_part(text: str) -> str:
    """Lower-cased dot-atom (RFC 5321, RFC 6531), empty when it is none."""
    local = unicodedata.normalize("NFC", text.lower())
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return ""
    for character in local:
        if character.isascii():
            if character not in _ATEXT:
                return ""
        elif unicodedata.category(character)[0] not in "LMNS":
            return ""  # controls, invisible and direction marks, foreign spaces and dots
    return local if len(local.encode("utf-8", "replace")) <= MAX_LOCAL else ""


def _host(text: str) -> str:
    labels = _DOTS.split(text)
    if len(labels) < 2:
        return ""
    encoded = [_label(label) for label in labels]
    host = ".".join(encoded)
    if not all(encoded) or encoded[-1].isdigit() or len(host) > MAX_DOMAIN:
        return ""
    return host


def _label(text: str) -> str:
    """One label as IDNA 2008 writes it (a full-width one is plain); empty when it is none."""
    label = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    if not label.isascii():
        if not all(c == "-" or c.isalnum() or unicodedata.category(c)[0] == "M" for c in label):
            return ""
        if label[0] == "-" or label[-1] == "-" or label.startswith("xn--"):
            return ""
        label = "xn--" + label.encode("punycode", "replace").decode("ascii")
    return label if len(label) <= MAX_LABEL and _LABEL.fullmatch(label) else ""


def email_match_key(address: str) -> str:
    """The mailbox behind an address: for finding customers, never for writing to them.

    What follows a plus is dropped everywhere, dots at Gmail. The argument is a normalised address.
    """
    local, _, domain = address.rpartition("@")
    base = local.partition("+")[0] or local
    if domain in _GMAIL:
        base, domain = base.replace(".", "") or base, "gmail.com"
    return f"{base}@{domain}"


def is_free_mail(domain: str) -> bool:
    """Whether anybody can have an address there, so that the domain says nothing of a company."""
    return domain.strip().rstrip(".").casefold() in _FREE_MAIL
