import psycopg
import pytest

from sandbox.omnisend import BrandKey
from sandbox.shops import KAROO, PROTEA
from tests.integration.cli.conftest import Cli


def states(admin: psycopg.Connection) -> dict[int, str]:
    return dict(admin.execute("select id, state::text from public.integrations_omnisend_outbox").fetchall())


def test_named_rows_go_back_with_fresh_attempts(cli: Cli, connected: BrandKey, admin, dead_row):
    one, two = dead_row(key="1"), dead_row(key="2")
    said = cli("retry", str(one), "--json")
    assert said.code == 0
    assert said.json() == {"put_back": [one], "past_expiry": 0, "disconnected": 0, "not_dead": 0}
    assert states(admin) == {one: "pending", two: "dead"}
    row = admin.execute(
        """select attempts, rescues, available_at <= now(), settled_at, payload is not null, ordering_key
        from public.integrations_omnisend_outbox where id = %s""",
        [one],
    ).fetchone()
    assert row == (0, 0, True, None, True, "hash")


def test_only_what_may_goes_back_and_it_says_why(cli: Cli, connected: BrandKey, admin, dead_row):
    fresh, old, orphan = dead_row(key="1"), dead_row(key="2", expires="-1 day"), dead_row(KAROO.merchant_id)
    delivered = dead_row(key="3")
    admin.execute(
        "update public.integrations_omnisend_outbox set state = 'delivered' where id = %s", [delivered]
    )
    said = cli("retry", *map(str, (fresh, old, orphan, delivered, 999)))
    assert said.code == 1
    assert said.out.splitlines() == [
        "1 put back",
        "1 stayed: past their expiry; --extend 24h gives them a day from now",
        "1 stayed: their merchant is not connected; see `soldt-outbox connect --help`",
        "2 stayed: not dead, another merchant's, or not there",
    ]
    assert states(admin) == {fresh: "pending", old: "dead", orphan: "dead", delivered: "delivered"}


def test_extending_gives_old_rows_new_time(cli: Cli, connected: BrandKey, admin, dead_row):
    old, fresh = dead_row(key="1", expires="-1 day"), dead_row(key="2", expires="10 days")
    said = cli("retry", "--merchant", PROTEA.slug, "--extend", "24h", "--yes")
    assert said.code == 0
    left = admin.execute(
        "select id, round(extract(epoch from expires_at - now()) / 3600)::int from public.integrations_omnisend_outbox"
    ).fetchall()
    assert dict(left) == {old: 24, fresh: 240}


def test_all_of_one_merchant_or_of_every_one(
    cli: Cli, connected: BrandKey, omnisend, admin: psycopg.Connection, dead_row
):
    cli("connect", "--merchant", KAROO.slug, stdin=omnisend.add_brand().key)
    mine, other = dead_row(), dead_row(KAROO.merchant_id)
    assert cli("retry", "--merchant", KAROO.slug, "--yes", "--json").json()["put_back"] == [other]
    assert cli("retry", "--all", "--yes", "--json").json()["put_back"] == [mine]
    nothing = cli("retry", "--all", "--yes", "--json")
    assert (nothing.code, nothing.json()["put_back"]) == (0, [])


def test_another_merchants_row_is_not_taken(cli: Cli, connected: BrandKey, admin, dead_row):
    mine = dead_row()
    said = cli("retry", str(mine), "--merchant", KAROO.slug, "--json")
    assert (said.code, said.json()["put_back"], said.json()["not_dead"]) == (1, [], 1)
    assert states(admin) == {mine: "dead"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1", "--all"],
        ["--all"],
        ["--merchant", "protea"],
        ["1", "--extend", "soon"],
        ["1", "--extend", "90d"],
        ["one"],
        ["1", "--merchant", "nobody"],
    ],
)
def test_what_is_unclear_is_refused(cli: Cli, connected: BrandKey, admin, dead_row, arguments: list[str]):
    row = dead_row()
    assert cli("retry", *arguments).code == 2
    assert states(admin) == {row: "dead"}
