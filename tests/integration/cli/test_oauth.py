"""``connect --oauth`` with a browser that follows the redirect, and ``disconnect`` and ``status`` of what it connected."""

import os
import re
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from cli import oauth
from sandbox.omnisend import BrandKey
from sandbox.shops import PROTEA
from tests.integration.cli.conftest import Cli
from tests.support.oauth_server import (
    BRAND_ID,
    CLIENT_ID,
    CLIENT_SECRET,
    OAuthServer,
    oauth_server_in_background,
)

CONNECT = ["connect", "--oauth", "--merchant", PROTEA.slug, "--port", "0"]


class Browser:
    """Follows an address to its end, as ``webbrowser.open`` makes a browser do; keeps the pages it saw."""

    def __init__(self) -> None:
        self.pages: list[httpx.Response] = []
        self.before: Callable[[str], None] = lambda _: None
        self.seen = threading.Event()

    def __call__(self, url: str) -> bool:
        self.before(url)
        self.pages.append(httpx.get(url, follow_redirects=True, timeout=20))
        self.seen.set()
        return True


@pytest.fixture
def server(environment: pytest.MonkeyPatch) -> Iterator[OAuthServer]:
    with oauth_server_in_background() as server:
        environment.setenv("OMNISEND_BASE_URL", server.url)
        environment.setenv("OMNISEND_OAUTH_URL", server.url)
        environment.setenv("OMNISEND_OAUTH_CLIENT_ID", CLIENT_ID)
        environment.setenv("OMNISEND_OAUTH_CLIENT_SECRET", CLIENT_SECRET)
        yield server


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    browser = Browser()
    monkeypatch.setattr(webbrowser, "open", browser)
    return browser


def stored(admin: psycopg.Connection) -> object:
    return admin.execute(
        "select status, auth_type, brand_id, scopes, access_token_enc is null from integrations_omnisend"
    ).fetchone()


def redirect_of(url: str) -> str:
    return str(httpx.URL(url).params["redirect_uri"])


def test_a_shop_is_connected_through_the_browser(cli: Cli, server: OAuthServer, browser: Browser, admin):
    said = cli(*CONNECT)
    assert (said.code, said.out) == (0, f"protea connected to brand Protea & Co ({BRAND_ID})\n")
    assert re.search(rf"^{server.url}/oauth2/authorize\?\S+$", said.err, re.MULTILINE)
    assert "scopes granted: brands.read, brands.write, contacts.read" in said.err
    assert "warning" not in said.err
    assert stored(admin)[:3] == ("connected", "oauth", BRAND_ID)
    assert browser.seen.wait(20)
    (page,) = browser.pages
    assert page.status_code == 200
    assert "protea is connected to Protea &amp; Co." in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    for secret in (*server.access, *server.refresh, CLIENT_SECRET, server.forms[0]["code_verifier"]):
        assert secret not in said.out + said.err + page.text


def test_what_was_not_granted_is_named_at_once(cli: Cli, server: OAuthServer, browser: Browser):
    server.rules.scope = "brands.read events.write"
    said = cli(*CONNECT, "--json")
    assert said.code == 0
    assert (
        "warning: products.write was not granted, so this will not work: products and categories" in said.err
    )
    assert "warning: products.read was not granted" in said.err
    assert "brands.write was not granted" not in said.err, "nothing needs it"
    found = said.json()
    assert found["scopes"] == ["brands.read", "events.write"]
    assert "contacts.write" in found["missing_scopes"]
    assert found["merchant"]["slug"] == "protea"


def test_where_the_admin_says_no_both_the_browser_and_the_command_say_so(
    cli: Cli, server: OAuthServer, browser: Browser, admin
):
    server.rules.declines = True
    said = cli(*CONNECT)
    assert (said.code, said.out) == (1, "")
    assert "soldt-outbox: the authorization was declined at Omnisend" in said.err
    assert browser.seen.wait(20)
    assert "Nothing was connected: the authorization was declined" in browser.pages[0].text
    assert stored(admin) is None


def test_who_else_calls_at_the_port_changes_nothing(cli: Cli, server: OAuthServer, browser: Browser):
    strangers = []

    def call(url: str) -> None:
        home = redirect_of(url)
        strangers.extend(
            httpx.get(address).status_code
            for address in (
                home,
                f"{home}?state=guessed&code=x",
                f"{home}?state=guessed&error=access_denied",
                home.replace("/callback", "/favicon.ico"),
            )
        )
        strangers.append(httpx.post(home).status_code)

    browser.before = call
    assert cli(*CONNECT).code == 0
    assert strangers == [400, 400, 400, 404, 404]


def test_it_listens_at_127_0_0_1_alone_and_no_longer_than_it_waits(
    cli: Cli, server: OAuthServer, browser: Browser
):
    homes, answered = [], []

    def call_beside(url: str) -> None:
        home = httpx.URL(redirect_of(url))
        homes.append(home)
        with socket.socket() as beside:
            beside.settimeout(1)
            answered.append(beside.connect_ex(("127.0.0.2", home.port)) == 0)

    browser.before = call_beside
    assert cli(*CONNECT).code == 0
    (home,) = homes
    assert answered == [False]
    assert (home.host, home.path, home.query) == ("127.0.0.1", "/callback", b"")
    with pytest.raises(ConnectionRefusedError), socket.create_connection((home.host, home.port), 1):
        pass


def test_nobody_who_comes_back_is_waited_for_so_long_and_no_longer(
    cli: Cli, server: OAuthServer, monkeypatch: pytest.MonkeyPatch, admin
):
    from datetime import timedelta

    monkeypatch.setattr(oauth, "STATE_LIFETIME", timedelta(milliseconds=1))
    said = cli(*CONNECT, "--no-browser")
    assert said.code == 1
    assert "nobody came back from Omnisend within" in said.err
    assert stored(admin) is None


def test_a_port_that_is_taken_is_said(cli: Cli, server: OAuthServer):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = cli(*CONNECT[:-1], str(taken.getsockname()[1]))
    assert said.code == 2
    assert "say another with --port" in said.err


def test_without_a_client_id_it_says_what_to_set(cli: Cli, environment: pytest.MonkeyPatch):
    said = cli(*CONNECT)
    assert said.code == 2
    assert "OMNISEND_OAUTH_CLIENT_ID is not set" in said.err


def test_an_unknown_merchant_begins_nothing(cli: Cli, server: OAuthServer, browser: Browser):
    assert cli("connect", "--oauth", "--merchant", "nobody", "--port", "0").code == 2
    assert browser.pages == []


def test_options_of_oauth_without_it_are_refused(cli: Cli, server: OAuthServer):
    for option in (["--no-browser"], ["--port", "9000"]):
        said = cli("connect", "--merchant", PROTEA.slug, *option)
        assert (said.code, "--oauth" in said.err) == (2, True)


def test_a_real_command_opens_the_browser_of_the_environment_and_ends_by_itself(
    server: OAuthServer, tmp_path: Path
):
    """A process of its own, whose browser is a program that follows redirects."""
    program = tmp_path / "browser.py"
    program.write_text(
        "import sys, httpx\nhttpx.get(sys.argv[1], follow_redirects=True, timeout=20).raise_for_status()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *CONNECT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ) | {"BROWSER": f"{sys.executable} {program} %s"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"protea connected to brand Protea & Co ({BRAND_ID})\n"), (
        done.stderr
    )


def test_disconnecting_ends_the_tokens_at_omnisend(cli: Cli, server: OAuthServer, browser: Browser, admin):
    cli(*CONNECT)
    said = cli("disconnect", "--merchant", PROTEA.slug, "--yes")
    assert said.out == (
        "protea disconnected: credentials wiped and revoked at Omnisend, 0 waiting events skipped\n"
    )
    assert (server.access, server.refresh) == (set(), set())
    assert stored(admin)[0] == "disabled"


def test_where_omnisend_cannot_be_told_the_tokens_are_wiped_with_a_warning(
    cli: Cli, server: OAuthServer, browser: Browser, admin
):
    cli(*CONNECT)
    server.rules.revoke_status = 503
    said = cli("disconnect", "--merchant", PROTEA.slug, "--yes", "--json")
    assert said.code == 0
    assert "warning: Omnisend could not be told" in said.err
    assert said.json()["revoked"] is False
    assert stored(admin) == ("disabled", "oauth", BRAND_ID, None, True)


def test_status_shows_what_a_shop_is_connected_with(
    cli: Cli, connected: BrandKey, server: OAuthServer, browser: Browser
):
    assert "API key" in cli("status").out
    cli(*CONNECT)
    shown = cli("status").out
    assert re.search(r"OAuth, token until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", shown)
    server.rules.lifetime = None
    cli(*CONNECT)
    assert "OAuth  " in cli("status").out
    (merchant,) = cli("status", "--json").json()["merchants"]
    assert (merchant["auth_type"], merchant["token_expires_at"]) == ("oauth", None)
