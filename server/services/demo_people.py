"""Customers of the demo: people and companies, two languages, four countries, each with numbers and mails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from server.services.demo_words import (
    COMPANIES_EN,
    COMPANIES_ZH,
    FAMILY_EN,
    FAMILY_ZH,
    GIVEN_EN,
    GIVEN_ZH,
)


@dataclass(frozen=True, slots=True)
class Person:
    """``country`` is ISO 3166; ``language`` is that of the stories this customer tells."""

    kind: str
    name: str
    company: str
    language: str
    country: str
    phones: tuple[tuple[str, str], ...]  # (E.164, label)
    email: str
    tier: str
    blocked: bool
    do_not_contact: tuple[str, ...]
    tags: tuple[str, ...]
    notes: str


ZONES = {"GB": "Europe/London", "US": "America/New_York", "DE": "Europe/Berlin", "CN": "Asia/Shanghai"}
_PINYIN = {
    "王": "wang", "李": "li", "张": "zhang", "刘": "liu", "陈": "chen", "杨": "yang", "黄": "huang", "赵": "zhao",
    "吴": "wu", "周": "zhou", "徐": "xu", "孙": "sun", "马": "ma", "朱": "zhu", "胡": "hu", "郭": "guo", "何": "he",
    "高": "gao", "林": "lin", "郑": "zheng", "谢": "xie", "罗": "luo", "梁": "liang", "宋": "song", "唐": "tang",
    "许": "xu",
}  # fmt: skip


def make_people(random: Random, count: int) -> list[Person]:
    """``count`` customers, two in five of them Chinese; the same seed gives the same people."""
    numbers = {country: _numbers(random, country) for country in ZONES}
    companies = {"en": list(COMPANIES_EN), "zh_CN": list(COMPANIES_ZH)}
    people: list[Person] = []
    seen: set[str] = set()
    switchboards: list[tuple[str, str, str]] = []  # (company, number, country)
    for place in range(count):
        chinese = place % 5 in (1, 3)
        country = "CN" if chinese else random.choice(("GB", "GB", "GB", "US", "DE"))
        language = "zh_CN" if chinese else "en"
        if place % 9 == 4 and companies[language]:
            company = companies[language].pop(0)
            board = next(numbers[country])
            switchboards.append((company, board, country))
            people.append(_company(random, company, language, country, board, place))
            continue
        name = _name(random, chinese, seen)
        phones = [(next(numbers[country]), "mobile")]
        company = ""
        # A colleague calls from the company's switchboard: one number, several customers.
        boards = [board for board in switchboards if board[2] == country]
        if boards and random.random() < 0.12:
            company, board, _ = random.choice(boards)
            phones.append((board, "work"))
        elif random.random() < 0.2:
            phones.append((next(numbers[country]), "home"))
        people.append(
            Person(
                kind="person",
                name=name,
                company=company,
                language=language,
                country=country,
                phones=tuple(phones),
                email=_address(name, chinese, place),
                tier=random.choices(("standard", "vip"), (12, 1))[0],
                blocked=place % 97 == 60,
                do_not_contact=("call",) if place % 61 == 30 else (),
                tags=tuple(random.sample(("warranty", "newsletter", "returning"), random.choice((0, 0, 1)))),
                notes="",
            )
        )
    return people


def _company(random: Random, name: str, language: str, country: str, board: str, place: int) -> Person:
    local = "info" if language == "en" else "kefu"
    return Person(
        kind="company",
        name=name,
        company=name,
        language=language,
        country=country,
        phones=((board, "switchboard"),),
        email=f"{local}@customer{place:03d}.example",
        tier=random.choice(("standard", "vip")),
        blocked=False,
        do_not_contact=(),
        tags=("business",),
        notes="Service contract, invoices by mail" if language == "en" else "已签服务合同，发票发送至邮箱",
    )


def _name(random: Random, chinese: bool, seen: set[str]) -> str:
    while True:
        if chinese:
            name = random.choice(FAMILY_ZH) + random.choice(GIVEN_ZH)
        else:
            name = f"{random.choice(GIVEN_EN)} {random.choice(FAMILY_EN)}"
        # A few people do share their name, as in life.
        if name not in seen or random.random() < 0.03:
            seen.add(name)
            return name


def _address(name: str, chinese: bool, place: int) -> str:
    local = f"{_PINYIN[name[0]]}{place:03d}" if chinese else ".".join(name.lower().split())
    return f"{local}@{('example.com', 'example.org', 'example.net')[place % 3]}"


def _numbers(random: Random, country: str) -> Iterator[str]:
    """Different numbers without end. GB and DE: the regulators' ranges for film; US: 555-01xx; CN: made up."""
    given: set[str] = set()
    while True:
        if country == "GB":
            number = (
                random.choice(("+447700900", "+442079460", "+441614960")) + f"{random.randrange(1000):03d}"
            )
        elif country == "US":
            area = random.choice(("202", "212", "312", "415", "617", "206"))
            number = f"+1{area}55501{random.randrange(100):02d}"
        elif country == "DE":
            number = (
                random.choice(("+493023125", "+494066969", "+498999998")) + f"{random.randrange(1000):03d}"
            )
        else:
            number = random.choice(("+861055550", "+862155550")) + f"{random.randrange(1000):03d}"
        if number not in given:
            given.add(number)
            yield number
