"""A real SIP server for softphones: Kamailio with WebSockets, plain and over TLS, on free ports of this computer.

It registers (in memory), asks for a password (a list in its configuration), and passes calls on; the voices
go from browser to browser. One server may be stopped and started again: its address stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DOMAIN = "pbx.ringpost.test"
MODULES = ("websocket.so", "tls.so")
START_SECONDS = 10.0

CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
enable_tls=yes
listen=tcp:127.0.0.1:{port}
listen=tls:127.0.0.1:{tls_port}
alias="{domain}"
tcp_accept_no_cl=yes

loadmodule "tls.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "htable.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"

modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
modparam("htable", "htable", "passwords=>size=4;")
modparam("registrar|nathelper", "received_avp", "$avp(RECEIVED)")
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "handle_lost_tcp", 1)

event_route[htable:mod-init] {{
{passwords}
}}

event_route[xhttp:request] {{
    if ($hdr(Upgrade) =~ "websocket" && $rm == "GET" && ws_handle_handshake()) exit;
    xhttp_reply("404", "Not Found", "", "");
}}

# A browser has no address that could be called: the connection that it came by is its address
# (nat_uac_test 64 is "came by WebSocket", the alias names the connection).
request_route {{
    force_rport();
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (nat_uac_test(64)) {{
        if (is_method("REGISTER")) fix_nated_register();
        else add_contact_alias();
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (!loose_route()) {{
            if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); }}
            else sl_send_reply("404", "Not Here");
            exit;
        }}
        if ($du == "") handle_ruri_alias();
        route(RELAY);
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("$td", "$sht(passwords=>$au)", "0")) {{ www_challenge("$td", "1"); exit; }}
        if ($au != $tU) {{ sl_send_reply("403", "Forbidden"); exit; }}
        save("location");
        exit;
    }}
    if (!pv_proxy_authenticate("$fd", "$sht(passwords=>$au)", "0")) {{ proxy_challenge("$fd", "1"); exit; }}
    consume_credentials();
    record_route();
    if (!lookup("location")) {{
        if ($sht(passwords=>$rU) == $null) sl_send_reply("404", "Not Found");
        else sl_send_reply("480", "Temporarily Unavailable");
        exit;
    }}
    route(RELAY);
}}

route[RELAY] {{
    t_on_reply("ANSWERED");
    t_relay();
    exit;
}}

onreply_route[ANSWERED] {{
    if (nat_uac_test(64)) add_contact_alias();
}}
"""


def kamailio_path() -> str:
    """The system's Kamailio. Without one the tests are skipped, but not in CI."""
    found = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found or not all(any(Path("/usr").glob(f"lib*/**/kamailio/modules/{one}")) for one in MODULES):
        missing = "the tests of the softphone need kamailio with its websocket and tls modules (tests/install-parts.sh)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def certificate() -> bytes:
    """Key and certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    unlocked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return unlocked + signed.public_bytes(Encoding.PEM)


@dataclass
class SipServer:
    """``accounts``: user -> password, all at ``DOMAIN``."""

    folder: Path
    accounts: Mapping[str, str]
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    @property
    def plain_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def wss_url(self) -> str:
        return f"wss://127.0.0.1:{self.tls_port}"

    async def start(self) -> None:
        passwords = "\n".join(
            f'    $sht(passwords=>{user}) = "{password}";' for user, password in self.accounts.items()
        )
        pem, config = self.folder / "kamailio.pem", self.folder / "kamailio.cfg"
        pem.write_bytes(certificate())
        config.write_text(
            CONFIG.format(
                port=self.port, tls_port=self.tls_port, certificate=pem, domain=DOMAIN, passwords=passwords
            )
        )
        with (self.folder / "kamailio.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                kamailio_path(), "-f", str(config), "-DD", "-E", "-m", "16", "-M", "4", "-Y", str(self.folder),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():
                if self._process.returncode is not None:
                    pytest.fail((self.folder / "kamailio.log").read_text(errors="replace")[-2000:])
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def stop(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        self._process = None
