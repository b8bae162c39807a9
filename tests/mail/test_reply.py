"""What is new in an answer, in both languages; nothing that a customer wrote may vanish."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.mail.reply import split_reply


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (
            "好的，谢谢。\n\n王小明 <w@example.com> 于2026年11月3日周二 上午10:20写道：\n\n> 您好\n> 请问",
            "好的，谢谢。",
        ),
        ("收到\n\n\n\n在 2026-11-03 10:20:30，“客服” <s@example.com> 写道：\n您好，您的工单", "收到"),
        ("可以\n\n------------------ 原始邮件 ------------------\n发件人: 客服\n主题: Re: x\n\n内容", "可以"),
        (
            "没问题\n\n发件人: 客服 <s@example.com>\n发送时间: 2026年11月3日\n收件人: a@b.cn\n主题: 回复\n\n内容",
            "没问题",
        ),
        ("同意\n\n发自我的iPhone", "同意"),
        ("Yes\n\nOn Mon, 2 Nov 2026 at 10:00, Support <s@example.com>\nwrote:\n\n> old", "Yes"),
        ("Ja\n\nAm 02.11.2026 um 10:00 schrieb Support:\n> alt", "Ja"),
        ("Yes\n\n-----Original Message-----\nFrom: Support\nSent: Monday\n\nold", "Yes"),
        ("Yes\n\nFrom: S <s@example.com>\nSent: Monday\nTo: A\nSubject: x\n\nold", "Yes"),
        ("On 2 Nov 2026, Support wrote:\n> old\n\nmy answer below", "my answer below"),
    ],
)
def test_the_quote_goes(text: str, new: str) -> None:
    got, quoted = split_reply(text)
    assert got == new
    assert quoted


@pytest.mark.parametrize(
    "text",
    [
        "On the surface all is well.\nOn Monday I wrote: it is broken.\nIt still is.",
        "在2026年11月3日写道：我同意。这是正文\n谢谢",
        "主题：退货\n我想退货\n谢谢",
        "From: the team\nDate night is fun",
        "On 2 Nov 2026, Support wrote:\n> one?\nyes\n> two?\nno",
        "see below\n\n---------- Forwarded message ---------\nFrom: a@b\nSubject: x\n\nthe important part",
        "> only a quote",
        "",
        "👍",
    ],
)
def test_in_doubt_all_is_new(text: str) -> None:
    assert split_reply(text) == (text, "")


LINES = st.sampled_from(
    """

hello
> old
>> older
On 2 Nov 2026, A <a@b> wrote:
--\x20
发自我的 iPhone
写道：
From: a@b
Sent: x
To: b@c
Subject: y
-----Original Message-----
_____
在 2026-11-03，a 写道：
---
Sent from my iPhone
""".removeprefix("\n")
    .removesuffix("\n")
    .split("\n")
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=25))
def test_no_line_is_lost(lines: list[str]) -> None:
    text = "\n".join(lines)
    new, quoted = split_reply(text)
    assert sorted(filter(None, f"{new}\n{quoted}".split())) == sorted(filter(None, text.split()))
    assert new.strip() or not any(line in ("hello", "From: a@b") for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "> On 1, x wrote:\n\n" * 10_000 + "end",
        "On 1 " * 100_000,
        "On 1, x\n" * 20_000,
        "From: a\n" * 20_000,
        "-" * 300_000,
        "_ " * 200_000 + "x",
        ("1 2:33 <" + "a" * 290 + "\n") * 10_000,
    ],
    ids=range(7),
)
def test_hostile_texts_cost_little(text: str) -> None:
    started = time.process_time()
    split_reply(text)
    assert time.process_time() - started < 2.0
