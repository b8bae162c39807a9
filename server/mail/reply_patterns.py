"""How mail programs of many languages mark what they quote, sign and forward. One line each, and linear."""

from __future__ import annotations

import re

VERB = (
    r"wrote|writes|schrieb|schreibt|geschrieben|a[ \xa0]écrit|escribió|escribio|escreveu|ha scritto|"
    r"schreef|skrev|skrifaði"
    r"|napisał(?:\(a\)|a)?|napsala?(?:\(a\))?|nap[ií]sal(?:\(a\)|a)?|написал(?:\(а\)|а)?|пишет|пише|"
    r"kirjoitti|yazdı|írta|a scris"
    r"|ha escrit|έγραψε|написа|viết|menulis|schriebst"
)
WROTE = re.compile(
    rf"(?:{VERB})(?:[ \xa0][^:<>\n]{{1,80}})?(?:\s?<[^<>]{{1,100}}>)?\s?[:：]?\s*(?:-{{2,}})?\Z",
    re.IGNORECASE,
)
WROTE_ZH = re.compile(
    r"(?:写道|寫道|写到|来信|说道|のメール|書きました|님이 작성(?:했습니다|하였습니다))\s*[:：]?\s*\Z"
)
STARTS = re.compile(
    r"(?:-+\s*)?(?:On|Am|Le|El|Il|In data|Op|Den|Dne|Dnia|W dniu|Em|A|Pe|Vào|Em|Στις|На|ma|pon|wt|"
    r"śr|czw|pt|sob|ndz|On:)\s"
    r"|\d|[\"']?[^\d<>]{0,80}<[^<>@\s]{1,80}@|\w{2,12},?\s\d|[А-Яа-я]{2,12},\s",
    re.IGNORECASE,
)
DATE_ADDRESS = re.compile(
    r"(?:(?=.{0,200}\d{1,2}[:.]\d{2})|"
    r"(?=\d{4}[-/.]\d{1,2}[-/.]\d{1,2}))(?=.{0,80}\d).{6,200}?<[^<>\s]{0,80}@[^<>]{1,120}>\s*[:：]\s*\Z"
)
RULE_WORDS = (
    r"Original[ -]?Message|original message|Original[ -]?(?:E-?)?mail|Urspr[üu]ngliche (?:Nachricht|"
    r"Mail)|Originalnachricht"
    r"|Message d'origine|Message original|Mensaje original|Messaggio originale|Mensagem original|"
    r"Oorspronkelijk bericht"
    r"|Oprindelig (?:meddelelse|besked)|Ursprungligt meddelande|Opprinnelig melding|Původní zpráva|"
    r"Wiadomość oryginalna"
    r"|Oryginalna wiadomość|Исходное сообщение|Reply Message|Antwort Nachricht|原始邮件|原邮件|"
    r"原始信件|邮件原件|回复的?邮件|元のメッセージ"
)
RULE = re.compile(rf"\s*[-_—–=*]{{2,}}\s*(?:{RULE_WORDS})\s*[-_—–=*]{{0,}}\s*\Z", re.IGNORECASE)
REPLY_ABOVE = re.compile(
    r"\s*[-#=*_ ]*\s*(?:(?:please )?(?:reply|respond|write) above this line|please type your reply "
    r"above|请在此行(?:以)?上方回复"
    r"|bitte (?:oberhalb|über) dieser (?:linie|zeile) antworten)\b.{0,60}\Z",
    re.IGNORECASE,
)
FIELD = re.compile(
    r"[ \t>*_]*(From|Message du|Sent|To|Cc|Bcc|Subject|Date|Reply-To|Importance|Organization|"
    r"Attachments|Von|Gesendet|Datum|An|Betreff|Kopie|De|Envoyé|Envoyé le"
    r"|À|A|Objet|Date d'envoi|Enviado|Enviado el|Enviada em|Enviado em|Para|Asunto|Assunto|Fecha|"
    r"Data|Da|Inviato|Risposta|Oggetto|Van"
    r"|Verzonden|Aan|Onderwerp|Från|Skickat|Till|Ämne|Fra|Sendt|Til|Emne|Od|Odesláno|Komu|Předmět|"
    r"Wysłano|Do|Temat|DW|От"
    r"|Отправлено|Кому|Тема|Дата|Kimden|Gönderildi|Kime|Konu|发件人|寄件人|寄件者|发件时间|发送时间|"
    r"发送日期|寄件日期|日期|时间|時間|收件人|收件者"
    r"|抄送|副本|主题|主旨|主題|差出人|送信日時|宛先|件名|日時|보낸 사람|받는 사람|제목|"
    r"날짜)[*_]*\s?(?:[:：])[*_]*(?:\s|\Z|[^/\s])",
    re.IGNORECASE,
)
FIRST_FIELDS = frozenset(
    {
        "from",
        "von",
        "de",
        "da",
        "van",
        "från",
        "fra",
        "od",
        "от",
        "kimden",
        "date",
        "datum",
        "data",
        "fecha",
        "дата",
        "sent",
        "to",
        "reply-to",
        "subject",
        "发件人",
        "寄件人",
        "寄件者",
        "差出人",
        "发件时间",
        "发送时间",
        "日期",
        "时间",
        "보낸 사람",
        "message du",
    }
)
FORWARD = re.compile(
    r"[\s>]*(?:[-_=]{2,}\s*(?:Forwarded message|Weitergeleitete Nachricht|Message transféré|"
    r"转发的?邮件|轉寄郵件|转发邮件信息)"
    r"|Begin forwarded message|Anfang der weitergeleiteten)",
    re.IGNORECASE,
)
RULE_LINE = re.compile(r"\s*[_\-—–=*]{5,}\s*\Z")
QUOTED = re.compile(r"\s{0,3}(?:>|&gt;|[A-Z]{1,3}>)")
SIGNATURE = re.compile(r"(?:-- ?|--\u00a0|__|——)\s*\Z")
SENT_FROM = re.compile(
    r"\s*[\[(<*_]*(?:Sent (?:from|via|with|using) \[?(?:my|mail|outlook|yahoo|gmail|samsung|iphone|"
    r"ipad|android|blackberry|windows|proton|spark|airmail"
    r"|mobile|the all-new|galaxy|nokia|huawei|xiaomi|sparrow|thunderbird|zoho|nine|edison|"
    r"superhuman|an? (?:phone|mobile|iphone))\b(?![^\n]{0,60},)|Get Outlook for|Gesendet (?:von|mit|"
    r"aus)\s|Von meinem .{1,40} gesendet"
    r"|Envoyé (?:de|depuis|à partir)\s|Enviado (?:desde|do|de|a partir)\s|Inviato da\s|Verzonden "
    r"(?:vanaf|met|via)\s|Verstuurd vanaf\s"
    r"|Skickat från\s|Sendt fra\s|Wysłane z\s|Odesláno z\s|Отправлено (?:с|из)\s|Lähetetty\s|"
    r"发自我的|發自我的|发自|来自我的|從我的|从我的|寄自我的"
    r"|Holen Sie sich Outlook|Télécharg\S+ Outlook|获取 ?Outlook)",
    re.IGNORECASE,
)
ASCII_ART = re.compile(r"\s*(?:\W|_){3,}\s*\Z")
