"""How a withheld number is spelled: by people, by PBXs, on a keypad (RFC 3323, RFC 3325, Bellcore)."""

from __future__ import annotations

import unicodedata

# Words for "nobody is named", per language, as they arrive in place of a number or as a SIP user.
_WORDS = """
anonymous|anonymously|anon|private|privacy|restricted|unknown|unavailable|withheld|blocked|hidden|secret
not available|na|null|none|nil|undefined|no caller id|no number|out of area|not provided|unidentified
unlisted|suppressed|interaction not allowed|coin line|payphone|nobody|not disclosed|p|o|u|asterisk|freeswitch
clir|presentation restricted|presentation prohibited|caller id blocked|caller withheld
anonym|unbekannt|unterdrückt|privat|verborgen|nicht verfügbar|nicht übermittelt|keine rufnummer|geheim
anonyme|inconnu|inconnue|masqué|masquée|privé|indisponible|non disponible|caché|confidentiel
anónimo|desconocido|oculto|privado|no disponible|restringido|sin número|no identificado
anônimo|desconhecido|indisponível|não disponível|não identificado|sem número|confidencial|restrito
anonimo|sconosciuto|privato|nascosto|non disponibile|riservato
anoniem|onbekend|afgeschermd|niet beschikbaar
anonimowy|nieznany|zastrzeżony|ukryty|prywatny|niedostępny
okänt|okänd|hemligt|skyddat|dolt|hemmelig|skjult|ukendt|ukjent|tuntematon|salainen
neznámý|skrytý|skryté|utajené|neznámy|ismeretlen|rejtett|necunoscut|ascuns
bilinmeyen|gizli|άγνωστος|απόκρυψη|ανώνυμος
аноним|анонимный|анонимно|неизвестный|неизвестно|неизвестен|скрыт|скрытый|не определен|невідомий|прихований
مجهول|غير معروف|خاص|محجوب|חסוי|לא ידוע|अज्ञात|निजी
匿名|未知|隐藏|私人|保密|未显示|无显示|无法显示|无主叫|无|不可用|未提供|不明|主叫隐藏|隐藏主叫|无来电显示|不显示
隱藏|未顯示|無顯示|無法顯示|無|無來電顯示|不顯示|不詳
非通知|非通知設定|通知不可能|公衆電話|表示圏外|圏外
발신번호표시제한|발신번호제한|발신자표시제한|알수없음|알 수 없음|익명|번호없음|비공개|발신자 정보 없음
ẩn danh|không xác định|không rõ|số riêng|ไม่ทราบ|ไม่แสดงหมายเลข|tidak dikenal|nomor pribadi
"""

# Words that may stand beside them and say nothing of their own.
_FILLERS = frozenset(
    "number num no nr id cid callerid caller call calls calling name party user subscriber line the "
    "nummer rufnummer anrufer anruf teilnehmer numero appel appelant llamada chiamata chiamante chamada "
    "numer telefonu samtal cislo szam numara номер звонок абонент".split()
)
_CJK_FILLERS = ("号码", "號碼", "来电", "來電", "電話", "电话", "番号", "번호", "用户")

# What a switch makes of such a word when it must send digits: ANONYMOUS, UNKNOWN, RESTRICTED, ... on a
# keypad. 8566696 is not a spelling, but Twilio sends it for UNKNOWN.
KEYPAD = frozenset(
    (
        "266696687",
        "8656696",
        "8566696",
        "7378742833",
        "2562533",
        "86282452253",
        "7748483",
        "94844353",
        "6622537",
    )
)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = (c if unicodedata.category(c)[0] in "LN" else " " for c in plain if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", "".join(kept))


_NOBODY = frozenset("".join(_fold(phrase).split()) for phrase in _WORDS.strip().replace("\n", "|").split("|"))


def is_withheld_word(text: str) -> bool:
    """Whether the text says "withheld" or "unknown" in words; an empty one does, one with digits does not."""
    if len(text) > 80:
        return False
    words = _fold(text).split()
    if not words:
        return True
    joined = "".join(words)
    if joined in _NOBODY:
        return True
    if any(c.isdecimal() for c in joined):
        return False
    if "".join(word for word in words if word not in _FILLERS) in _NOBODY:
        return True
    for filler in _CJK_FILLERS:
        joined = joined.replace(filler, "")
    return joined in _NOBODY
