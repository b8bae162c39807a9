#!/bin/sh
# What the tests need beside Python packages: a browser, a font with Chinese, an IMAP server, a SIP server.
# As root on Debian or Ubuntu they are installed; elsewhere the line says what to install.
set -eu

missing=""
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null &&
    ! command -v google-chrome >/dev/null; then
    missing="$missing chromium"
fi
if ! ls /usr/share/fonts/*/noto/Noto*CJK* >/dev/null 2>&1 &&
    ! { command -v fc-list >/dev/null && fc-list :lang=zh-cn file | grep -q .; }; then
    missing="$missing fonts-noto-cjk"
fi
if ! PATH="$PATH:/usr/sbin" command -v dovecot >/dev/null; then
    missing="$missing dovecot-imapd"
fi
if ! PATH="$PATH:/usr/sbin" command -v kamailio >/dev/null ||
    ! ls /usr/lib*/*/kamailio/modules/websocket.so /usr/lib*/*/kamailio/modules/tls.so >/dev/null 2>&1; then
    missing="$missing kamailio kamailio-websocket-modules kamailio-tls-modules"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make test needs$missing, which only root can install here: apt-get install$missing" >&2
    exit 1
fi
echo "installing for the tests:$missing" >&2
log=$(mktemp)
if ! { apt-get -o DPkg::Lock::Timeout=120 update &&
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends $missing; } \
    >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    echo "make test needs$missing, and apt-get could not install that; what it said is above" >&2
    exit 1
fi
rm -f "$log"
