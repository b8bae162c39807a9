"""What every provider must withstand. A new provider file is held to it without a line here."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.errors import Forbidden, Invalid, NotAuthenticated, RingpostError, Unavailable
from server.domain.outcome import CallOutcome, RungAgent

UNSIGNED = {"cti", "threecx", "starface", "amazon_connect", "freeswitch_cdr"}
UNSIGNED_COMES_AGAIN = {"vonage"}  # what came without a signature is to be sent once more, with one
CREDENTIALS = ("Authorization", "X-Twilio-Signature", "X-Api-Key")
HOSTILE = '"><Dial>+15550100</Dial><Client a="\'&]]>\x00\x0b\ud800'

each_input = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def verify(sample: Any) -> None:
    sample.provider.verify(sample.source, sample.request)


def parse_quietly(sample: Any) -> None:
    """Whatever comes, the only errors are our own, and what is taken fits the database."""
    try:
        events = sample.provider.parse(sample.source, sample.request)
        sample.provider.reply(sample.source, sample.request, events, [])
    except RingpostError as refusal:
        assert 400 <= refusal.status < 500
        return
    for event in events:
        for text in (
            event.call_key,
            event.leg_key,
            event.event_key,
            event.ani,
            event.dnis,
            event.display_name,
        ):
            assert len(text or "") <= 400
            assert "\x00" not in (text or "")
            (text or "").encode()  # no lone surrogates
        for ref in event.agent_refs:
            assert "\x00" not in ref
            ref.encode()


def test_as_it_came_it_is_accepted(accepted: Any) -> None:
    verify(accepted)


def test_a_changed_body_is_refused(accepted: Any) -> None:
    if accepted.provider.name in UNSIGNED:
        pytest.skip("nothing is signed")
    body = accepted.request.body
    for changed in (body + b"&x=1", body[: len(body) // 2], b""):
        with pytest.raises(RingpostError):
            verify(accepted.with_request(body=changed))


def test_a_changed_address_is_refused(accepted: Any) -> None:
    if accepted.provider.name in UNSIGNED or accepted.provider.name in (
        "telnyx",
        "sipgate",
        "vonage",
        "placetel",
    ):
        pytest.skip("the address is not signed")
    for url in (accepted.request.url + "?x=1", accepted.request.url.replace("example", "examp1e")):
        with pytest.raises(Forbidden):
            verify(accepted.with_request(url=url))


def test_without_credentials_it_is_refused(accepted: Any) -> None:
    url = accepted.request.url.partition("?")[0]
    drop = tuple(
        name for name in accepted.request.headers if name in CREDENTIALS or "signature" in name.lower()
    )
    comes_again = accepted.provider.name in UNSIGNED_COMES_AGAIN
    with pytest.raises(Unavailable if comes_again else (Forbidden, NotAuthenticated)) as refusal:
        verify(accepted.with_request(url=url, drop=drop))
    assert accepted.source.secrets[0] not in refusal.value.detail


def test_the_old_secret_counts_beside_the_new_one(accepted: Any) -> None:
    secret = accepted.source.secrets[0]
    verify(accepted.with_secrets("new-one", secret))
    verify(accepted.with_secrets(secret, "new-one"))
    with pytest.raises((Forbidden, NotAuthenticated)):
        verify(accepted.with_secrets("new-one", secret + "x"))


def test_credentials_of_any_bytes_are_refused_not_fatal(accepted: Any) -> None:
    drop = tuple(
        name for name in accepted.request.headers if name in CREDENTIALS or "signature" in name.lower()
    )
    for value in ("é", "\udcff", "=" * 5000, "Bearer", "Bearer ", "Bearer \udcff", " "):
        headers = dict.fromkeys(drop or ("Authorization",), value)
        url = accepted.request.url.partition("?")[0]
        with pytest.raises(RingpostError):
            verify(accepted.with_request(url=url, drop=drop, headers=headers))


def test_too_many_fields_are_refused(accepted: Any) -> None:
    form = accepted.with_request(
        body=b"&".join(b"a%d=1" % number for number in range(20_000)),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    with pytest.raises(RingpostError):
        form.provider.parse(form.source, form.request)


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"CallSid=%FF&callId=%FF", b"[" * 100_000, b"{}", b"null", b"[]", b"1" * 10_000, b'{"a":NaN}',
     b'{"event":"newCall","event":"hangup"}', b"", b"=", b"&&&", b"%", b"\x00"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json; charset=utf-8", ""])
def test_unreadable_bodies_are_refused_not_fatal(accepted: Any, kind: str, body: bytes) -> None:
    parse_quietly(accepted.with_request(body=body, headers={"Content-Type": kind}))


@each_input
@given(
    body=st.binary(max_size=300),
    kind=st.sampled_from(["application/x-www-form-urlencoded", "application/json", ""]),
)
def test_random_bytes(accepted: Any, body: bytes, kind: str) -> None:
    request = accepted.with_request(body=body, headers={"Content-Type": kind})
    parse_quietly(request)
    with pytest.raises(RingpostError):
        if accepted.provider.name in UNSIGNED:
            request = request.with_request(url=request.request.url.partition("?")[0], drop=CREDENTIALS)
        verify(request)


@each_input
@given(data=st.data())
def test_a_known_message_with_any_values(accepted: Any, data: st.DataObject) -> None:
    """The field names are right, their values are anything that a form or JSON can carry."""
    is_json = accepted.request.body[:1] == b"{"
    names = [*json.loads(accepted.request.body)] if is_json else [name for name, _ in accepted.request.form]
    texts = st.text(max_size=40) | st.sampled_from(
        ["ringing", "in-progress", "completed", "newCall", "answer", "in", "\x00", "9" * 5000, HOSTILE, ""]
    )
    values = data.draw(st.dictionaries(st.sampled_from(sorted(set(names))), texts, min_size=1))
    if is_json:
        body = json.dumps(json.loads(accepted.request.body) | values).encode()
    else:
        changed = [(name, values.get(name, value)) for name, value in accepted.request.form]
        body = urlencode(changed, errors="surrogatepass").encode()
    parse_quietly(accepted.with_request(body=body))


def test_names_cannot_write_the_answer(accepted: Any) -> None:
    """A name, an extension or a queue with markup in it is text of the answer, never markup."""
    agents = (
        RungAgent(agent_id=1, name=HOSTILE, email=f"{HOSTILE}@example.com", extension=None),
        RungAgent(agent_id=2, name=HOSTILE, email="a@example.com", extension=HOSTILE),
        RungAgent(agent_id=3, name=HOSTILE, email="b@example.com", extension="sip:" + HOSTILE),
    )
    events = accepted.provider.parse(accepted.source, accepted.request)
    for chosen in ((), agents):
        outcome = CallOutcome(contact_id=1, state="ringing", queue=HOSTILE, agents=chosen)
        reply = accepted.provider.reply(accepted.source, accepted.request, events, [outcome for _ in events])
        reply.body.encode()
        if reply.content_type.endswith("xml"):
            root = ElementTree.fromstring(reply.body)
            assert "+15550100" not in [node.text for node in root.iter()]
            assert len(list(root.iter())) <= 2 + len(chosen)
        elif reply.content_type == "application/json":
            json.loads(reply.body)


def test_an_id_that_no_index_takes_is_refused(accepted: Any) -> None:
    key = accepted.provider.parse(accepted.source, accepted.request)[0].leg_key.encode()
    if key not in accepted.request.body:
        pytest.skip("the id is made of other fields")
    body = accepted.request.body.replace(key, b"x" * 5000)
    with pytest.raises(Invalid):
        accepted.provider.parse(accepted.source, accepted.with_request(body=body).request)
