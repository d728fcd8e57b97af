"""``status``, ``logs`` and ``dead``: the night operator's and the admin's questions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from cli.session import JsonOption, MerchantOption, chosen_merchant, load_settings, outbox, run
from cli.terminal import (
    Exit,
    answer,
    answer_json,
    answer_json_line,
    answer_table,
    duration,
    instant,
    say,
)
from soldt_outbox.administration.merchants import Merchant, country_of, slugs
from soldt_outbox.administration.records import (
    DeadLetter,
    LogFilter,
    LogRecord,
    customer_hash,
    dead_letters,
    logs,
)
from soldt_outbox.administration.status import MAX_COUNTED, MAX_MERCHANTS, MerchantStatus, Status, look
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.redaction import scrub
from soldt_outbox.rows import Verdict
from soldt_outbox.settings import Settings

_FOLLOW_EVERY_S: Final = 1.0
_FOLLOWED: Final = 1_000  # rows a look; a burst of more within a second is said, not shown
_LATE: Final = 2_000  # ids: a row with a smaller id may be committed after a larger one, and is still shown

LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest first.")]


def status_command(*, merchant: MerchantOption = None, as_json: JsonOption = False) -> None:
    """Show how the outbox is doing: workers, merchants, what waits, what is dead, and what needs a person.

    Something needs a person when no worker was seen for a minute, a merchant's connection is in error, its key may not
    send a kind of row, there are dead letters, an event of a connected merchant has been due for ten minutes or anything
    else of it for a day, the plaintext column is still there, or a transaction has been open for half an hour. A
    disabled merchant never does. A full refresh or an import may take hours, and holds up no event.

    Examples:
      soldt-outbox status
      soldt-outbox status --merchant protea
      soldt-outbox status --json | jq '.attention[]'
      soldt-outbox status >/dev/null || page-somebody

    Exit codes: 0 all well; 1 something needs a person; 2 a wrong argument or setting, no database, no tables.
    """
    found = run(_status(load_settings(), merchant))
    if as_json:
        answer_json(found)
    else:
        _print_status(found)
    if not found.ok:
        raise typer.Exit(Exit.WRONG)


async def _status(settings: Settings, named: str | None) -> Status:
    async with outbox(settings) as database:
        return await look(database, await chosen_merchant(database, named))


def _print_status(found: Status) -> None:
    alive = [worker for worker in found.workers if worker.alive]
    answer(f"{len(alive)} of {len(found.workers)} workers alive")
    if found.workers:
        answer_table(
            ["worker", "version", "started", "last seen"],
            [
                [w.worker_id, w.version, instant(w.started_at), f"{duration(w.seen_seconds_ago)} ago"]
                for w in found.workers
            ],
        )
    answer("")
    if found.merchants:
        answer_table(
            [
                "merchant",
                "connection",
                "credential",
                "lane",
                "waiting",
                "dead",
                "event due",
                "other due",
                "last event",
            ],
            [
                [
                    str(m),
                    m.status if m.last_error is None else f"{m.status} ({m.last_error})",
                    _credential(m),
                    _lane(m),
                    _count(m.waiting),
                    _count(m.dead),
                    duration(m.oldest_due_seconds),
                    duration(m.oldest_other_due_seconds),
                    instant(m.last_event_at),
                ]
                for m in found.merchants
            ],
        )
    else:
        answer("no merchant is connected")
    if found.truncated:
        answer(f"only {MAX_MERCHANTS:,} merchants are shown, those in trouble first; see --merchant")
    answer("")
    answer("all well" if found.ok else "needs a person:")
    for sentence in found.attention:
        answer(f"  - {sentence}")


def _credential(merchant: MerchantStatus) -> str:
    if merchant.status == "disabled":
        return ""
    if merchant.auth_type != "oauth":
        return "API key"
    ends = merchant.token_expires_at
    return "OAuth" if ends is None else f"OAuth, token until {instant(ends)}"


def _lane(merchant: MerchantStatus) -> str:
    lane = "probing" if merchant.failures_in_row and merchant.paused_until else "open"
    if merchant.paused_until is not None and merchant.paused_until > datetime.now(UTC):
        lane = f"paused: {merchant.pause_reason} until {instant(merchant.paused_until)}"
    forbidden = (
        f"{one.kind} forbidden until {instant(one.until)} (needs {one.needs})" for one in merchant.forbidden
    )
    return "; ".join([lane, *forbidden])


def _count(number: int) -> str:
    return f">{MAX_COUNTED:,}" if number > MAX_COUNTED else f"{number:,}"


def logs_command(
    *,
    merchant: MerchantOption = None,
    customer: Annotated[
        str | None,
        typer.Option(
            metavar="EMAIL_OR_PHONE",
            help="Only of this customer. The log holds a fingerprint: of the e-mail, else of the phone.",
        ),
    ] = None,
    outcome: Annotated[Verdict | None, typer.Option(help="Only attempts that ended so.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Only this event, such as order_placed, or an alias of it.")
    ] = None,
    outbox_id: Annotated[int | None, typer.Option(help="Only of this outbox row.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing what comes in, until Ctrl-C.")
    ] = False,
) -> None:
    """Show what was sent to Omnisend and what it answered: one line per attempt, newest first.

    Of what a batch could not tell, the item is named by its id: a product, a category, or an order (of a contact, the
    order it is known from). Requests are kept with personal data masked, and shown with --json only. With --follow,
    oldest first, and --json gives one object a line.

    Examples:
      soldt-outbox logs --merchant protea --limit 20
      soldt-outbox logs --merchant protea --customer nomsa@example.com
      soldt-outbox logs --customer '082 123 4567' --name order_placed
      soldt-outbox logs --outcome dead --json | jq '.[].error'
      soldt-outbox logs --outbox-id 1234
      soldt-outbox logs --follow

    Exit codes: 0 shown, also when nothing matched; 2 a wrong argument or setting, no database, no tables.
    """
    wanted = LogFilter(outcome=outcome.value if outcome else None, name=name, outbox_id=outbox_id)
    run(_logs(load_settings(), wanted, merchant, customer, limit=limit, as_json=as_json, follow=follow))


async def _logs(
    settings: Settings,
    wanted: LogFilter,
    named: str | None,
    customer: str | None,
    *,
    limit: int,
    as_json: bool,
    follow: bool,
) -> None:
    async with outbox(settings) as database:
        merchant = await chosen_merchant(database, named)
        wanted = replace(
            wanted,
            merchant_id=merchant.merchant_id if merchant else None,
            contact_hash=customer_hash(customer, await country_of(database, merchant)) if customer else None,
        )
        records = await logs(database, wanted, limit=limit)
        if follow:
            await _follow(database, wanted, records, as_json=as_json)
        elif as_json:
            answer_json(records)
        else:
            await _print_logs(database, records)


async def _follow(
    database: AsyncDatabase, wanted: LogFilter, records: list[LogRecord], *, as_json: bool
) -> None:
    shown: set[int] = set()
    while True:
        for record in reversed(records):
            if as_json:
                answer_json_line(record)
            else:
                answer(" ".join(str(cell) for cell in _log_row(record, {}) if cell not in (None, "")))
        shown.update(record.id for record in records)
        newest = max(shown, default=0)
        shown = {one for one in shown if one > newest - _LATE}
        await asyncio.sleep(_FOLLOW_EVERY_S)
        after = max(newest - _LATE, min(shown, default=1) - 1)
        found = await logs(database, wanted, limit=_FOLLOWED + len(shown), after=after)
        records = [record for record in found if record.id not in shown]
        if len(records) >= _FOLLOWED:
            say(f"more than {_FOLLOWED:,} came in at once: the oldest of them are not shown")


async def _print_logs(database: AsyncDatabase, records: Sequence[LogRecord]) -> None:
    if not records:
        answer("nothing matched")
        return
    names = await slugs(database, (record.merchant_id for record in records))
    answer_table(
        ["time", "merchant", "event", "item", "outcome", "HTTP", "attempt", "outbox row", "why"],
        [_log_row(record, names) for record in records],
    )


def _log_row(record: LogRecord, names: dict[Any, str]) -> list[object]:
    return [
        instant(record.created_at),
        names.get(record.merchant_id, record.merchant_id),
        record.name,
        _item(record),
        record.outcome,
        record.status_code,
        record.attempt,
        record.outbox_id,
        record.error,
    ]


def _item(record: LogRecord) -> str | None:
    """Which item of a batch it is about."""
    item = record.request.get("item") if isinstance(record.request, dict) else None
    return item if isinstance(item, str) else None


def dead_command(
    *, merchant: MerchantOption = None, limit: LimitOption = 50, as_json: JsonOption = False
) -> None:
    """Show the dead letters: events that will not be tried again by themselves, newest first, and why.

    They keep what is to be sent until they are put back (`soldt-outbox retry`) or pruned.

    Examples:
      soldt-outbox dead
      soldt-outbox dead --merchant protea --limit 10
      soldt-outbox dead --json | jq '.[].id' | xargs soldt-outbox retry

    Exit codes: 0 shown, also when there are none (`soldt-outbox status` is the check); 2 a wrong argument or setting,
    no database, no tables.
    """
    letters, names = run(_dead(load_settings(), merchant, limit))
    letters = [replace(letter, dedup_key=scrub(letter.dedup_key)) for letter in letters]
    if as_json:
        answer_json([asdict(letter) | {"slug": names.get(letter.merchant_id)} for letter in letters])
    elif letters:
        _print_dead(letters, names)
    else:
        answer("no dead letters")


async def _dead(settings: Settings, named: str | None, limit: int) -> tuple[list[DeadLetter], dict[Any, str]]:
    async with outbox(settings) as database:
        merchant: Merchant | None = await chosen_merchant(database, named)
        letters = await dead_letters(database, merchant.merchant_id if merchant else None, limit=limit)
        return letters, await slugs(database, (letter.merchant_id for letter in letters))


def _print_dead(letters: Sequence[DeadLetter], names: dict[Any, str]) -> None:
    answer_table(
        ["id", "merchant", "event", "of", "happened", "died", "attempts", "HTTP", "retry", "why"],
        [
            [
                letter.id,
                names.get(letter.merchant_id, letter.merchant_id),
                letter.name,
                letter.dedup_key,
                instant(letter.occurred_at),
                instant(letter.settled_at),
                letter.attempts,
                letter.last_status_code,
                "needs --extend" if letter.past_expiry else "yes",
                letter.last_error,
            ]
            for letter in letters
        ],
    )
