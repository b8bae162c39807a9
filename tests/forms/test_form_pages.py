"""The hosted page, its languages, and the parts of the guard that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.form_fields import DEFAULT_FIELDS, check_submission, guess_content_type, read_submission
from handlers.form_guard import RateLimit, Stamp, Stamps, peer_key
from handlers.form_texts import LANGUAGES, TEXTS, choose_language
from server.domain.errors import RingpostError, TooMany
from tests.forms.conftest import FormServer


async def test_the_page_in_both_languages(server: FormServer) -> None:
    for path, accept, language, words in (
        ("/forms/contact", "en-GB,en;q=0.8", "en", "Contact us"),
        ("/forms/contact", "zh-CN,zh;q=0.9,en;q=0.1", "zh-CN", "联系我们"),
        ("/forms/contact?lang=zh", "en", "zh-CN", "联系我们"),
        ("/forms/contact?lang=en", "zh-CN", "en", "Contact us"),
        ("/forms/warranty?lang=zh_CN", "", "zh-CN", "保修登记"),
    ):
        reply, text = await server.get(path, **{"Accept-Language": accept})
        assert reply.status == 200 and f'<html lang="{language}">' in text and words in text
        assert reply.headers["Content-Language"] == language
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
    assert (await server.get("/forms/nothing"))[0].status == 404


async def test_every_field_has_its_label(server: FormServer) -> None:
    _, text = await server.get("/forms/warranty")
    for name in ("full_name", "mail", "model", "website"):
        assert f'<label for="f-{name}">' in text and f'id="f-{name}" name="{name}"' in text
    assert "Full name" in text and "(required)" in text and '<option value="B4">' in text
    # The trap of this form is another one, as it has a field "website" of its own.
    assert 'name="homepage"' in text and "<script" not in text


def test_both_languages_say_the_same_things() -> None:
    assert TEXTS.keys() == set(LANGUAGES)
    assert TEXTS["en"].keys() == TEXTS["zh_CN"].keys()
    assert all(text for texts in TEXTS.values() for text in texts.values())


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        ("", "fr, zh-TW;q=0.4, en;q=0.8", "en"),
        ("", "zh-Hans-CN", "zh_CN"),
        ("", "fr", "zh_CN"),
        ("xx", "en;q=0", "zh_CN"),
        ("ZH-cn", "en", "zh_CN"),
    ],
)
def test_choose_language(asked: str, accepted: str, chosen: str) -> None:
    assert choose_language(asked, accepted, "zh_CN") == chosen


def test_stamps_survive_a_restart_and_expire(tmp_path: Path) -> None:
    stamp = Stamps.of(tmp_path).make("contact", 1000.0)
    again = Stamps.of(tmp_path)
    assert again.check("contact", stamp, 1001.0) is Stamp.QUICK
    assert again.check("contact", stamp, 1010.0) is Stamp.GOOD
    assert again.check("contact", stamp, 1010.0 + 86400) is Stamp.STALE
    assert again.check("other", stamp, 1010.0) is Stamp.STALE
    assert again.check("contact", "", 1010.0) is Stamp.ABSENT
    for bad in ("1", "x.y", "٣.a", "1" * 40 + ".a", "\ud800.x"):
        assert again.check("contact", bad, 1010.0) is Stamp.STALE
    assert (tmp_path / "form.key").stat().st_mode & 0o077 == 0


def test_the_bucket_refills() -> None:
    limit = RateLimit(most=2)
    for _ in range(3):
        limit.take("a", 3, 0.0)
    with pytest.raises(TooMany) as full:
        limit.take("a", 3, 0.0)
    assert 1 <= full.value.retry_after_seconds <= 21
    limit.take("a", 3, 20.5)


def test_one_household_one_key() -> None:
    assert peer_key("2001:db8:1:2:3::4") == peer_key("2001:db8:1:2:ffff::1") != peer_key("2001:db8:1:3::1")
    assert peer_key("::ffff:192.0.2.1") == "192.0.2.1" and peer_key("nonsense") == "nonsense"


@given(st.binary(max_size=400), st.sampled_from(["json", "urlencoded", "multipart"]))
def test_no_body_breaks_the_reader(body: bytes, kind: str) -> None:
    types = {
        "json": "application/json",
        "urlencoded": "application/x-www-form-urlencoded",
        "multipart": "multipart/form-data; boundary=b",
    }
    try:
        values = read_submission(b"--b\r\n" + body if kind == "multipart" else body, types[kind])
    except RingpostError:
        return
    sent = check_submission(DEFAULT_FIELDS, values, "en", "GB")
    for value in sent.values.values():
        value.encode()
        assert "\x00" not in value


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=60), max_size=6))
def test_whatever_is_typed_can_be_stored(values: dict[str, str]) -> None:
    sent = check_submission(DEFAULT_FIELDS, values, "zh_CN", "CN")
    assert set(sent.values) == {field.name for field in DEFAULT_FIELDS}
    assert all("\n" not in sent.values[name] for name in ("name", "email", "phone", "subject"))


def test_a_kept_body_tells_its_type() -> None:
    assert guess_content_type(b' {"a": 1}') == "application/json"
    assert guess_content_type(b"--xyz\r\nContent-") == 'multipart/form-data; boundary="xyz"'
    assert guess_content_type(b"a=b") == "application/x-www-form-urlencoded"
