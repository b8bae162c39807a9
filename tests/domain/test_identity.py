from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.domain.identity import (
    CallerKind,
    email_match_key,
    format_phone,
    is_free_mail,
    normalise_caller,
    normalise_email,
    normalise_phone,
    phone_digits_of_query,
)
from server.domain.names import search_key
from server.domain.phone_numbers import is_plain_e164, read_number

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases" / "phone"
KINDS = {
    "sip-user": "sip",
    "internal-extension": "extension",
    "short-code": "short_code",
    "e164-leading-space-is-plus": "e164",
}
COUNTRIES = ("DE", "CN", "US", "GB", "IT", "AR", "RU", "JP", "BR", "ZZ", "", "de")


def rows(name: str) -> list[dict[str, str]]:
    path = CASES / name
    if not path.exists():
        assert not os.environ.get("CI"), f"{path} is missing"
        pytest.skip("the shared cases are not here")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_odd_values() -> None:
    wrong = []
    for row in rows("odd_values.csv"):
        found = normalise_caller(row["input"], row["default_region"])
        expected = (KINDS.get(row["expect_class"], row["expect_class"]), row["expect_e164"])
        if (found.kind, found.e164 or "") != expected:
            wrong.append((row["input"], expected, found))
    assert wrong == []


def test_libphonenumber_cases() -> None:
    wrong = []
    for row in rows("libphonenumber.csv"):
        found = normalise_caller(row["input"], row["default_region"])
        stored = normalise_phone(row["input"], row["default_region"])
        said = (found.e164 or "", stored or "", (found.extension or "") if found.e164 else "")
        expected = row["expect_e164"]
        if said != (expected, expected, row["extension"] if expected else ""):
            wrong.append((row["input"], expected, found, stored))
    assert wrong == []


@pytest.mark.parametrize(
    ("raw", "country", "e164"),
    [
        ("13812345678", "CN", "+8613812345678"),
        ("013812345678", "CN", "+8613812345678"),
        ("8613812345678", "CN", "+8613812345678"),
        ("１３８１２３４５６７８", "CN", "+8613812345678"),
        ("86-10-62345678", "CN", "+861062345678"),
        ("+86(0)10 6234 5678", "CN", "+861062345678"),
        ("400-123-4567", "CN", "+864001234567"),
        ("4930600101", "DE", "+4930600101"),
        ("30600101", "DE", "+4930600101"),
        ("+49 (0)30 600101", "CN", "+4930600101"),
        ("442071838750", "DE", "+442071838750"),
        ("4930600101", "US", "+4930600101"),
        ("004930123456", "US", "+4930123456"),  # not America's exit prefix, but plain enough
        ("7378742833", "US", "+17378742833"),  # a real number that spells RESTRICTED
        ("89161234567", "RU", "+79161234567"),
        ("3934012345", "IT", "+393934012345"),  # a mobile number that begins like the country code
        ("393401234567", "IT", "+393401234567"),
        ("٠٥٠١٢٣٤٥٦٧", "SA", "+966501234567"),
        ("sip:00493060010@pbx.example;transport=udp", "DE", "+493060010"),
    ],
)
def test_numbers_of_the_world(raw: str, country: str, e164: str) -> None:
    found = normalise_caller(raw, country)
    assert (found.kind, found.e164) == (CallerKind.E164, e164)
    assert found.raw == raw
    assert normalise_phone(f" {raw}\n", country) == e164


@pytest.mark.parametrize(
    "raw",
    [
        None, "", " ", "-", "N/A", "null", "Private Number", "No Caller ID", "Caller ID unavailable",
        "Numéro masqué", "Rufnummer unterdrückt", "Número oculto", "номер скрыт", "非通知", "未知号码",
        "隐藏来电", "無法顯示號碼", "발신번호 표시제한", "ＡＮＯＮＹＭＯＵＳ", "00", "0000000000",
        "+1266696687", "+7378742833", "+86282452253", "anonymous@anonymous.invalid",
        '"Bob" <sip:+4930600101@anonymous.invalid>', "tel:anonymous", "<>",
    ],
)  # fmt: skip
def test_withheld_is_nobody(raw: str | None) -> None:
    found = normalise_caller(raw, "US")
    assert (found.kind, found.e164) == (CallerKind.WITHHELD, None)
    assert normalise_phone(raw, "US") is None


def test_what_has_no_e164() -> None:
    def seen(raw: str, country: str) -> tuple[str, str | None, str | None]:
        found = normalise_caller(raw, country)
        assert found.e164 is None
        return found.kind.value, found.extension, found.sip_address

    assert seen("8001", "CN") == ("extension", "8001", None)
    assert seen("62345", "CN") == ("extension", "62345", None)
    assert seen("12345", "DE") == ("extension", "12345", None)
    assert seen("tel:201", "DE") == ("extension", "201", None)
    assert seen("sip:201@PBX.example:5060", "DE") == ("extension", "201", "201@pbx.example")
    assert seen("120", "CN") == ("short_code", None, None)
    assert seen("10086", "CN") == ("short_code", None, None)
    assert seen("95588", "CN") == ("short_code", None, None)
    assert seen("sip:Alice@PBX.example", "DE") == ("sip", None, "alice@pbx.example")
    assert seen("alice@pbx.example", "DE") == ("sip", None, "alice@pbx.example")
    assert seen("alice", "DE") == ("invalid", None, None)
    assert seen("9" * 5000, "DE") == ("invalid", None, None)


def test_names_beside_numbers() -> None:
    found = normalise_caller('"Müller, \\"Anna\\"" <sip:+4930600101@pbx.example:5061;user=phone>;tag=1', "DE")
    assert (found.e164, found.display_name) == ("+4930600101", 'Müller, "Anna"')
    assert found.sip_address == "+4930600101@pbx.example"
    assert normalise_caller("Anonymous <+4930600101>", "DE").display_name is None
    assert normalise_caller("张伟 <13812345678>", "CN").display_name == "张伟"
    assert len(normalise_caller("x" * 900 + "<110>", "DE").display_name or "") == 200


@given(st.text(), st.sampled_from(COUNTRIES))
@example('"' * 5000 + "<" * 5000, "DE")
@example("sip:@", "DE")
@example("<tel:;ext=>", "US")
@example("+\ud800", "US")
def test_nothing_a_pbx_sends_raises(raw: str, country: str) -> None:
    found = normalise_caller(raw, country)
    assert (found.e164 is not None) == (found.kind is CallerKind.E164)
    assert found.raw == raw
    assert phone_digits_of_query(raw) is None or phone_digits_of_query(raw) == phone_digits_of_query(
        phone_digits_of_query(raw) or ""
    )


NUMBERISH = st.text(alphabet="+0123456789 -/().x;*#,%２", min_size=1, max_size=22)


@given(NUMBERISH | st.from_regex(r"(\+|00|0|)[1-9][0-9]{4,14}", fullmatch=True), st.sampled_from(COUNTRIES))
@example("+39002361", "IT")
@example("tel:033316005;phone-context=+64-3", "ZZ")
def test_what_came_out_reads_as_itself(raw: str, country: str) -> None:
    e164 = normalise_caller(raw, country).e164
    if e164 is not None:
        for there in (*COUNTRIES, country):
            assert normalise_caller(e164, there).e164 == e164
            assert normalise_phone(e164, there) == e164
            assert format_phone(e164, there)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_the_short_way_agrees_with_the_parser(raw: str) -> None:
    if is_plain_e164(raw):
        reading = read_number(raw, "DE")
        assert reading is not None
        assert (reading.e164, reading.extension) == (raw, None)


@pytest.mark.parametrize(
    "raw", ["+4930600101", "+8613812345678", "+12025550123", "+447911123456", "+390236618300"]
)
def test_ordinary_callers_take_the_short_way(raw: str) -> None:
    assert is_plain_e164(raw) == (raw[:3] != "+39")  # Italy's zero is left to the parser
    assert normalise_caller(raw, "DE").e164 == raw


def test_numbers_for_readers() -> None:
    assert format_phone("+8613812345678", "CN") == "138 1234 5678"
    assert format_phone("+8613812345678", "DE") == "+86 138 1234 5678"
    assert format_phone("+4930600101", "de") == "030 600101"
    assert format_phone("201", "DE") == "201"
    assert format_phone("+", "DE") == "+"


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("+49 30 600", "4930600"), ("(030) 600-", "30600"), ("0049 30", "4930"), ("０３０６００", "30600"),
        ("+44 (0)20 7946", "44207946"), ("030/600000-0", "306000000"), ("600101 ext 22", "600101"),
        ("tel:+49-30", "4930"), ("138 1234", "1381234"), ("138", "138"),
        ("13", None), ("RP-000123", None), ("a@b.de", None), ("Meier 030", None), ("", None), ("+", None),
    ],
)  # fmt: skip
def test_what_is_typed_to_search(typed: str, digits: str | None) -> None:
    assert phone_digits_of_query(typed) == digits


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        (" Bob@Example.COM\n", "bob@example.com"),
        ("<bob@x.de>", "bob@x.de"),
        ("mailto:a@b.cn", "a@b.cn"),
        ("ü@müller.de", "ü@xn--mller-kva.de"),
        ("a@faß.de", "a@xn--fa-hia.de"),
        ("a@例子。中国", "a@xn--fsqu00a.xn--fiqs8s"),
        ("a@ｅｘ．com", "a@ex.com"),
        ("o'neil+x@gmail.com", "o'neil+x@gmail.com"),
        ("a" * 64 + "@x.de", "a" * 64 + "@x.de"),
    ],
)
def test_addresses(raw: str, address: str) -> None:
    assert normalise_email(raw) == address


@pytest.mark.parametrize(
    "raw",
    [
        None, "", "@", "a@", "@x.de", "bob", '"a b"@x.de', "a(b)@x.de", "Bob <bob@x.de>", "a@localhost",
        "a..b@x.de", ".a@x.de", "a.@x.de", "a@[1.2.3.4]", "a@1.2.3.4", "a" * 65 + "@x.de", "a@x.de, b@x.de",
        "a b@x.de", "a@-x.de", "a@x-.de", "a@x..de", "a@x.de.", "a\u200b@x.de", "a\u202e@x.de", "a@b@c.de",
        "a@x.de\nbcc:b@x.de", "a@" + "x" * 64 + ".de", "a@" + "x." * 130 + "de", "a@x_y.de", "a\x00@x.de",
        "a@xn--ü.de",
    ],
)  # fmt: skip
def test_what_is_no_address(raw: str | None) -> None:
    assert normalise_email(raw) is None


@given(st.text() | st.emails() | st.text(alphabet="aÄß@.+-x\u0130\u3002ｘ", max_size=12))
@example("a@\ud800.de")
@example("\ud800@x.de")
def test_an_address_reads_as_itself(raw: str) -> None:
    address = normalise_email(raw)
    if address is not None:
        assert normalise_email(address) == address
        key = email_match_key(address)
        assert email_match_key(key) == key
        assert len(address.encode()) <= 254
        assert address.count("@") == 1


def test_aliases() -> None:
    assert email_match_key("bob+shop@x.de") == "bob@x.de"
    assert email_match_key("b.o.b+x@googlemail.com") == "bob@gmail.com"
    assert email_match_key("b.o.b@x.de") == "b.o.b@x.de"
    assert email_match_key("+bob@x.de") == "+bob@x.de"
    assert is_free_mail("QQ.com")
    assert is_free_mail("163.com")
    assert not is_free_mail("example.com")


def test_search_keys() -> None:
    assert search_key("  Žofie　ＬＩＮ ") == "zofie lin"
    assert search_key("Straße Ørsted Łódź") == "strasse orsted lodz"
    assert search_key("张 伟\u200b") == "张 伟"
    assert search_key("ガ") != search_key("カ")
    assert search_key("김철수") == "김철수"


@given(st.text())
def test_search_keys_are_keys_of_themselves(name: str) -> None:
    assert search_key(search_key(name)) == search_key(name)
    assert "\x00" not in search_key(name)
