-- The outbox protocol: find merchants with due rows, claim, renew, settle. Time is always the database's.

-- name: due_merchants
-- Merchants and kinds that have a due row nobody holds, longest-waiting first, by a loose index scan: one index probe per
-- merchant and kind with pending or dead rows, whatever their number, and none for settled ones. (Dead rows lie behind all
-- others of their kind, so asking for them too keeps the scan from wading through them. A kind that the merchant's key may not
-- send is none of those.) Where the first row is leased
-- or one of the future, a second probe looks behind those in hand, or for rows set aside. Creates the lanes that are missing, in an
-- order: two workers that start at once must not wait for each other.
-- `since`: no row was due before it. Under an old snapshot the index still holds every entry of what was settled; the claim
-- begins behind them.
with recursive queue as (
  (
    select o.merchant_id, o.kind, o.available_at, coalesce(o.lease_until > now(), false) as held
    from public.integrations_omnisend_outbox o
    where o.state in ('pending', 'dead')
    order by o.merchant_id, o.kind, o.available_at
    limit 1
  )
  union all
  select n.*
  from queue q
  cross join lateral (
    select o.merchant_id, o.kind, o.available_at, coalesce(o.lease_until > now(), false) as held
    from public.integrations_omnisend_outbox o
    where o.state in ('pending', 'dead') and (o.merchant_id, o.kind) > (q.merchant_id, q.kind)
    order by o.merchant_id, o.kind, o.available_at
    limit 1
  ) n
),
due as materialized (
  select q.merchant_id, q.kind, coalesce(f.available_at, least(q.available_at, now())) as since,
    coalesce(f.available_at, a.created_at, q.available_at) as waiting_since
  from queue q
  left join lateral (
    select o.available_at
    from public.integrations_omnisend_outbox o
    where q.held and o.merchant_id = q.merchant_id and o.kind = q.kind and o.state = 'pending'
      and o.available_at <= now() and (o.lease_until is null or o.lease_until <= now())
    order by o.kind, o.available_at
    limit 1
  ) f on true
  left join lateral (
    select o.created_at
    from public.integrations_omnisend_outbox o
    where (q.available_at > now() or q.held and f.available_at is null)
      and o.merchant_id = q.merchant_id and o.kind = q.kind and o.state = 'pending'
      and o.available_at >= timestamptz '5000-01-01 00:00:00Z' and o.available_at < 'infinity'
    order by o.kind, o.available_at
    limit 1
  ) a on true
  where ((q.available_at <= now() and not q.held) or f.available_at is not null or a.created_at is not null)
    and (q.kind = 'event' or not exists (
      select from public.integrations_omnisend_lanes l
      where l.merchant_id = q.merchant_id and l.forbidden_until > now() and q.kind = any (l.forbidden_kinds)
    ))
),
new_lane as (
  insert into public.integrations_omnisend_lanes (merchant_id)
  select distinct d.merchant_id from due d
  where not exists (select from public.integrations_omnisend_lanes l where l.merchant_id = d.merchant_id)
  order by d.merchant_id
  on conflict do nothing
)
select merchant_id, kind::text, since from due order by waiting_since;

-- name: claim
-- Lease due rows of the given merchants and kinds, each merchant within its budget and its share, in order per customer.
--
-- lane, gate: connected, not paused, within budget. A lane that another worker is claiming at this moment is passed
--   over: the lane's row lock serialises claims per merchant, so budget and order hold across workers.
--   Budget: a generic cell rate algorithm. A request costs `cost` (doubled while throttled); requests worth `burst`
--   may be ahead of the clock. With failures behind it, a lane whose pause is over sends one row as a probe, and
--   stays paused for everything else until that row is settled or its lease runs out.
-- asked: whom the caller believes to have due rows; of what became due before `since` it says nothing, and the next scan will.
-- due: per merchant and kind the rows that are due, oldest first, until enough of them are `first`: their customer has no earlier
--   pending row. A row whose lease ran out is taken like any other and counted as rescued; it passes the gates too,
--   because the budget must hold. One index probe a row: whatever the planner believes of the table, it can neither
--   sort a backlog to take ten rows of it (after ANALYZE it did: 43,000 buffers for 50 rows of 10,000, against 1,000)
--   nor hash all pending rows to see which are first.
-- blocked: where more rows wait than may go (and more than a few, or not enough were found within reach), those that
--   wait are set aside, at an instant of the far future (from the year 5000 on) that is the customer's own, and no later
--   claim passes over them again. It only says where to look for a row: whether it may go is asked of the table each
--   time. Two rows a customer are the ordinary backlog and stay: to set a row aside costs as much as to pass it over
--   ten times.
-- aside: of the rows set aside, each customer's first. So a row set aside is found as soon as it may go, with nobody to
--   wake it: the first pending row of a customer is either in the queue or the first of those set aside. Where there
--   are too many customers for one claim, the next one goes on after the last one looked at (`aside_after`).
-- picked: what was found, the kinds in their order, locked if it is still as it was found. Rows that somebody else holds are
--   passed over. One claim in ten takes the kinds in the opposite order, so that the last of them has a tenth of the
--   merchant's budget however many live events there are.
-- The lease columns stand in no index, so the update is HOT where the page has room. A checkout's row has no payload: the
-- order is read here, as it was placed.
with recursive lane as materialized (
  select l.merchant_id, l.theoretical_arrival_time - now() as ahead,
    l.failures_in_row > 0 and l.paused_until is not null as probing,
    %(interval)s::interval * case when l.throttled_until > now() then 2 else 1 end as cost,
    coalesce(l.aside_after, timestamptz '5000-01-01 00:00:00Z') as aside_after,
    case when l.forbidden_until > now() then l.forbidden_kinds else '{}' end as forbidden_kinds,
    case when random() < 0.1 then -1 else 1 end as direction
  from public.integrations_omnisend_lanes l
  join public.integrations_omnisend i on i.merchant_id = l.merchant_id
  where l.merchant_id = any (%(merchants)s::uuid[])
    and i.status <> 'disabled'
    and (l.paused_until is null or l.paused_until <= now())
    and l.theoretical_arrival_time - now() <= %(burst)s::interval
      - %(interval)s::interval * case when l.throttled_until > now() then 2 else 1 end
  order by l.last_served_at
  limit %(limit)s
  for update of l skip locked
),
gate as materialized (
  -- `reach`: how many rows of a merchant are looked at. Beyond those wanted, `patience` in all, and twenty at least.
  select g.*, g.wanted + greatest(least(20, %(patience)s), %(patience)s / lanes) as reach
  from (
    select l.*, n.lanes,
      least(greatest(1, %(limit)s / n.lanes), case when l.probing then 1
        -- At least one: it is within budget, though while throttled a request may cost more than the whole burst.
        else greatest(1, floor(extract(epoch from %(burst)s::interval - greatest(l.ahead, interval '0')) / extract(epoch from l.cost)))
      end)::int as wanted
    from lane l cross join (select count(*) as lanes from lane) n
  ) g
),
queue as materialized (
  -- A moment back where the caller knows of no first due row: of what became due just before it may not have seen the commit.
  select g.*, a.kind, coalesce(a.since, now() - interval '1 minute') as since,
    g.direction * array_position(enum_range(a.kind), a.kind) as class
  from gate g
  join unnest(%(merchants)s::uuid[], %(kinds)s::public.omnisend_outbox_kind[], %(since)s::timestamptz[]) as a (merchant_id, kind, since)
    on a.merchant_id = g.merchant_id and a.kind <> all (g.forbidden_kinds)
),
due as (
  select merchant_id, kind, class, wanted, reach, 0 as seen, 0 as firsts, false as first, since as available_at, 0::bigint as id
  from queue
  union all
  select d.merchant_id, d.kind, d.class, d.wanted, d.reach, d.seen + 1, d.firsts + n.first::int, n.first, n.available_at, n.id
  from due d
  cross join lateral (
    select o.available_at, o.id,
      o.id = coalesce((
        select e.id
        from public.integrations_omnisend_outbox e
        where e.ordering_key = o.ordering_key and e.state = 'pending'
        order by e.id
        limit 1
      ), o.id) as first
    from public.integrations_omnisend_outbox o
    where o.merchant_id = d.merchant_id
      and o.kind = d.kind
      and o.state = 'pending'
      and o.available_at <= now()
      and (o.available_at, o.id) > (d.available_at, d.id)
      and (o.lease_until is null or o.lease_until <= now())
    order by o.kind, o.available_at, o.id
    limit 1
  ) n
  where d.firsts < d.wanted and d.seen < d.reach
),
aside as (
  select merchant_id, kind, class, wanted, reach, 0 as seen, false as first, aside_after as available_at, 0::bigint as id,
    null::timestamptz as created_at
  from queue
  union all
  select a.merchant_id, a.kind, a.class, a.wanted, a.reach, a.seen + 1, n.first, n.available_at, n.id, n.created_at
  from aside a
  cross join lateral (
    select o.available_at, o.id, o.created_at,
      (o.lease_until is null or o.lease_until <= now())
      and o.id = (
        select e.id
        from public.integrations_omnisend_outbox e
        where e.ordering_key = o.ordering_key and e.state = 'pending'
        order by e.id
        limit 1
      ) as first
    from public.integrations_omnisend_outbox o
    where o.merchant_id = a.merchant_id
      and o.kind = a.kind
      and o.state = 'pending'
      and o.available_at > a.available_at and o.available_at < 'infinity'
    order by o.kind, o.available_at, o.id
    limit 1
  ) n
  where a.seen < a.reach
),
picked as materialized (
  select f.id, f.merchant_id
  from (
    select a.*, row_number() over (partition by a.merchant_id order by a.class, a.since, a.id) as place
    from (
      select merchant_id, class, wanted, id, available_at, available_at as since from due where first
      union all
      select merchant_id, class, wanted, id, available_at, created_at from aside where first
    ) a
  ) f
  cross join lateral (
    select
    from public.integrations_omnisend_outbox o
    where o.id = f.id and o.state = 'pending' and o.available_at = f.available_at
      and (o.lease_until is null or o.lease_until <= now())
    limit 1
    for no key update of o skip locked
  ) unchanged
  where f.place <= f.wanted
),
blocked as materialized (
  select f.id
  from (
    select id, available_at, first,
      max(seen - firsts) over m > greatest(least(20, %(patience)s), max(firsts) over m)
        or (max(seen) over m = reach and max(firsts) over m < wanted) as crowded
    from due window m as (partition by merchant_id, kind)
  ) f
  cross join lateral (
    select
    from public.integrations_omnisend_outbox o
    where o.id = f.id and o.state = 'pending' and o.available_at = f.available_at
      and (o.lease_until is null or o.lease_until <= now())
    limit 1
    for no key update of o skip locked
  ) unchanged
  where f.crowded and not f.first
),
set_aside as (
  update public.integrations_omnisend_outbox o
  set available_at = timestamptz '5000-01-01 00:00:00Z'
    + (1 + (hashtextextended(o.ordering_key, 0) & 281474976710655)) * interval '1 microsecond'  -- 48 bits: nine years
  where o.id = any (array(select id from blocked))
),
charged as (
  update public.integrations_omnisend_lanes l
  set theoretical_arrival_time = greatest(l.theoretical_arrival_time, now()) + coalesce(p.rows, 0) * g.cost,
      paused_until = case when g.probing and p.rows > 0 then now() + %(lease)s::interval else l.paused_until end,
      aside_after = a.available_at,
      last_served_at = now()
  from gate g
  left join (select merchant_id, count(*) as rows from picked group by merchant_id) p on p.merchant_id = g.merchant_id
  left join (select merchant_id, min(available_at) as available_at from aside where seen = reach group by merchant_id) a
    on a.merchant_id = g.merchant_id
  where l.merchant_id = g.merchant_id
),
leased as (
  update public.integrations_omnisend_outbox o
  set lease_token = gen_random_uuid(),
      lease_until = now() + %(lease)s::interval,
      leased_by = %(worker_id)s,
      attempts = o.attempts + 1,
      rescues = o.rescues + case when o.lease_token is null then 0 else 1 end
  where o.id = any (array(select id from picked))
  returning o.id, o.merchant_id, o.kind, o.name, o.dedup_key, o.payload, o.expires_at <= now() as expired,
    o.attempts, o.rescues, o.lease_token, o.created_at, o.occurred_at, o.expires_at
)
select l.id, l.merchant_id, l.kind::text, l.name, l.dedup_key,
  case when h.much then null else p.payload end as payload,
  case when h.much then (select left(key, 40) from jsonb_each(p.payload) order by octet_length(value::text) desc, key limit 1) end as most_of_it,
  l.expired, l.attempts, l.rescues, l.lease_token, l.created_at,
  l.merchant_id = any (array(select merchant_id from gate where probing)) as probe,
  -- PostgreSQL's calendar is longer than Python's.
  least(greatest(l.occurred_at, timestamptz '0001-01-02 00:00:00Z'), timestamptz '9999-12-30 00:00:00Z') as occurred_at,
  case when l.expires_at between timestamptz '0001-01-02 00:00:00Z' and timestamptz '9999-12-30 00:00:00Z' then l.expires_at end as expires_at
from leased l
cross join lateral (
  -- Not that of a row that workers died of.
  select case when l.rescues < %(most_rescues)s then coalesce(l.payload, omnisend_private.placed_order(l.id)) end as payload
  offset 0
) p
cross join lateral (
  -- An order is as large as a stranger makes it. As stored it may be packed a hundredfold, and only then is it worth unpacking to see.
  select case when pg_column_size(p.payload) > 8000 then octet_length(p.payload::text) > %(most_bytes)s and jsonb_typeof(p.payload) = 'object' else false end as much
  offset 0
) h;

-- name: renew
-- Push back the leases that are still ours; returns the ids that were. A lease that ran out is not revived: another
-- worker may be about to take the row. A row that is being settled at this moment is passed over: settling and
-- renewing lock rows in orders of their own, and only one of two may wait.
with ours as materialized (
  select o.id
  from unnest(%(ids)s::bigint[], %(tokens)s::uuid[]) as held (id, token)
  join public.integrations_omnisend_outbox o on o.id = held.id
  where o.lease_token = held.token and o.state = 'pending' and o.lease_until > now()
  for no key update of o skip locked
)
update public.integrations_omnisend_outbox o
set lease_until = now() + %(lease)s::interval
where o.id = any (array(select id from ours))
returning o.id;

-- name: settle
-- Write the outcomes of a batch: each row's new state, only where the lease token still matches, one log row per
-- attempt, and what the batch says about lanes and integrations. Returns the ids settled: a row that is not among
-- them was taken by another worker since, and its result is dropped.
--
-- Connections and then lanes are locked, each in the order of merchants, so that two settles cannot deadlock, and are
-- only written when something changes: in healthy times a settle touches neither.
with result as materialized (
  select r.*
  from jsonb_to_recordset(%(results)s::jsonb) as r (
    id bigint, token uuid, verdict text, error text, status_code int, retry_in interval, uncounted int,
    request jsonb, response jsonb, event_id uuid, contact_hash text, logged boolean
  )
),
settled as (
  update public.integrations_omnisend_outbox o
  set state = case when r.verdict in ('retry', 'release') then 'pending' else r.verdict::public.omnisend_outbox_state end,
      available_at = case
        when r.verdict = 'dead' then 'infinity'
        when r.verdict = 'retry' then now() + coalesce(r.retry_in, interval '0')
        else o.available_at
      end,
      attempts = o.attempts - r.uncounted,
      payload = case when r.verdict in ('delivered', 'skipped', 'expired') then null else o.payload end,
      ordering_key = case when r.verdict in ('delivered', 'skipped', 'expired') then null else o.ordering_key end,
      settled_at = case when r.verdict in ('retry', 'release') then null else now() end,
      last_error = case when r.verdict = 'delivered' then null else coalesce(r.error, o.last_error) end,
      last_status_code = coalesce(r.status_code, o.last_status_code),
      lease_token = null, lease_until = null, leased_by = null
  from result r
  where o.id = r.id and o.lease_token = r.token and o.state = 'pending'
  returning o.id, o.merchant_id, o.kind, o.name, r.verdict, r.error, r.status_code, r.request, r.response,
    r.event_id, r.contact_hash, o.attempts + r.uncounted as attempt, r.logged
),
forgotten as (
  -- With the row's own payload goes the copy of an order that changed while it waited.
  delete from omnisend_private.kept_orders k
  using settled s
  where k.outbox_id = s.id and s.verdict in ('delivered', 'skipped', 'expired')
),
logged as (
  insert into public.integrations_omnisend_logs
    (merchant_id, direction, kind, name, status_code, request, response, outbox_id, event_id, attempt, outcome, error, contact_hash)
  select merchant_id, 'outbound', kind::text, name, status_code, request, response, id, event_id, attempt, verdict, error, contact_hash
  from settled where logged
  order by id
),
-- What the batch says about each merchant; nothing where every result was dropped: old news must not move a lane.
-- A refusal of a key that was replaced meanwhile says nothing about the new one: no pause, no error, no failure.
said as materialized (
  select l.merchant_id, l.healthy, l.told, l.throttle, l.extra, l.probe, l.delivered, l.credential,
    case when k.replaced then 0 else l.failures end as failures,
    case when k.replaced then null else l.pause end as pause,
    case when k.replaced then null else l.reason end as reason,
    case when k.replaced then false else l.probe_failed end as probe_failed,
    case when k.replaced then null else l.code end as code,
    case when k.replaced then null else l.detail end as detail,
    case when k.replaced then null else l.forbidden end as forbidden, l.allowed, l.forbidden_detail
  from jsonb_to_recordset(%(lanes)s::jsonb) as l (
    merchant_id uuid, healthy boolean, failures int, pause interval, reason text, told interval, throttle interval,
    extra int, probe boolean, probe_failed boolean, delivered boolean, code text, detail text, credential text,
    forbidden public.omnisend_outbox_kind[], allowed public.omnisend_outbox_kind[], forbidden_detail text
  )
  cross join lateral (
    select l.credential is not null and not exists (
      select from public.integrations_omnisend i where i.merchant_id = l.merchant_id and l.credential in (i.api_key_enc, i.access_token_enc)
    ) as replaced
  ) k
  where l.merchant_id in (select merchant_id from settled)
),
connection as materialized (
  -- The last event sent is noted at most once in ten seconds. A connection that was disabled meanwhile stays so.
  select i.merchant_id, r.delivered, r.code, r.detail
  from public.integrations_omnisend i
  join said r on r.merchant_id = i.merchant_id
  where i.status <> 'disabled' and (r.code is null or r.credential is null or r.credential in (i.api_key_enc, i.access_token_enc)) and (
    (r.code is not null and (i.status <> 'error' or i.last_error is distinct from r.code))
    or (r.code is null and r.delivered and (i.status = 'error' or i.last_event_at is null or i.last_event_at < now() - interval '10 seconds'))
  )
  order by i.merchant_id
  for no key update of i
),
noted as (
  update public.integrations_omnisend i
  set status = case when n.code is null then 'connected' else 'error' end,
      last_event_at = case when n.delivered then now() else i.last_event_at end,
      last_error = n.code,
      last_error_detail = n.detail,
      last_error_at = case when n.code is null then i.last_error_at else now() end,
      updated_at = now()
  from connection n
  where i.merchant_id = n.merchant_id
),
lane as materialized (
  -- Failures count up to the breaker's limit, and from there by failed probes alone: what was under way when it
  -- opened failed for the same reason, and must not lengthen the pause.
  -- A probe that told nothing (handed back, or nothing to send) makes room for the next one at once.
  select l.merchant_id, l.paused_until, l.pause_reason, r.healthy, r.pause, r.reason, r.throttle, r.extra, r.detail,
    l.forbidden_kinds, r.forbidden, r.forbidden_detail,
    case when l.forbidden_kinds && r.allowed then r.allowed end as allowed,
    greatest(l.told_until, now() + r.told) as told_until,
    case when r.healthy then 0
      else greatest(l.failures_in_row, least(l.failures_in_row + r.failures, %(breaker_failures)s))
        + case when r.probe_failed and l.failures_in_row >= %(breaker_failures)s then 1 else 0 end
    end as failures,
    not r.healthy and l.failures_in_row + r.failures >= %(breaker_failures)s
      and (r.probe_failed or l.failures_in_row < %(breaker_failures)s) as trips,
    r.probe and not r.probe_failed and not r.healthy as untold
  from public.integrations_omnisend_lanes l
  join said r on r.merchant_id = l.merchant_id
  where (r.failures > 0 or l.failures_in_row > 0 or l.paused_until is not null
      or r.pause is not null or r.extra > 0 or r.throttle is not null
      or r.forbidden is not null or l.forbidden_kinds && r.allowed)
    and (select count(*) from connection) >= 0  -- connections first, as `connect` locks them
  order by l.merchant_id
  for no key update of l
),
paused as materialized (
  -- The breaker: from `breaker_failures` in a row on, the lane pauses, and twice as long with each probe that fails,
  -- up to 32 times, with jitter.
  select n.*,
    case
      when n.pause is not null then greatest(n.paused_until, now() + n.pause)
      when n.trips then greatest(n.paused_until, now() + %(breaker_pause)s::interval
        * (1 + 0.2 * random()) * 2 ^ least(5, n.failures - %(breaker_failures)s))
      when n.healthy then null
      when n.untold then now()
      else n.paused_until
    end as until,
    case
      when n.pause is not null then case when now() + n.pause < n.paused_until then n.pause_reason else n.reason end
      when n.trips then 'FAILING'
      when n.healthy then null
      else n.pause_reason
    end as why
  from lane n
),
paced as (
  -- Whatever ends a pause of ours, what Omnisend told us to wait is waited.
  update public.integrations_omnisend_lanes l
  set failures_in_row = n.failures,
      paused_until = case when n.told_until > now() then greatest(n.until, n.told_until) else n.until end,
      pause_reason = case when n.told_until > now() and n.told_until >= coalesce(n.until, n.told_until) then 'THROTTLED' else n.why end,
      told_until = n.told_until,
      throttled_until = coalesce(now() + n.throttle, l.throttled_until),
      forbidden_kinds = case when n.forbidden is null and n.allowed is null then l.forbidden_kinds else array(
        select k from unnest(l.forbidden_kinds || coalesce(n.forbidden, '{}')) k
        where k <> all (coalesce(n.allowed, '{}')) group by k order by k
      ) end,
      forbidden_until = case when n.forbidden is not null then now() + %(forbidden_for)s::interval else l.forbidden_until end,
      -- Requests beyond the one that was charged may have been made just now.
      theoretical_arrival_time = greatest(l.theoretical_arrival_time, now()) + n.extra * %(interval)s::interval
  from paused n
  where l.merchant_id = n.merchant_id
),
recorded as (
  -- Where admins read of their events: that a lane stopped, and that it goes on. Not each probe that failed (it has a row
  -- of its own), and not Omnisend's short waits.
  insert into public.integrations_omnisend_logs (merchant_id, kind, name, outcome, error)
  select n.merchant_id, 'lane', n.why, 'paused',
    coalesce(n.detail, %(breaker_failures)s || ' requests in a row failed: events wait, and one is tried now and then until one goes through')
  from paused n
  where n.why <> 'THROTTLED' and n.why is distinct from n.pause_reason
  union all
  select n.merchant_id, 'lane', n.pause_reason, 'resumed', 'an event went through: what waits is sent'
  from paused n
  where n.healthy and n.why is null and n.pause_reason <> 'THROTTLED'
  union all
  select n.merchant_id, 'lane', 'FORBIDDEN', 'paused', n.forbidden_detail
  from paused n
  where not n.forbidden <@ n.forbidden_kinds
  union all
  select n.merchant_id, 'lane', 'FORBIDDEN', 'resumed', 'Omnisend takes ' || array_to_string(n.allowed, ', ') || ' again: what waits is sent'
  from paused n
  where n.allowed is not null
)
select id from settled;

-- name: follow_up
-- Write the rows that follow from outcomes about to be settled in this transaction: only where the lease token still matches,
-- so that what a worker says too late begets nothing. What is there already stays.
with held as materialized (
  select o.id, o.merchant_id
  from jsonb_to_recordset(%(held)s::jsonb) as r (id bigint, token uuid)
  join public.integrations_omnisend_outbox o on o.id = r.id and o.lease_token = r.token and o.state = 'pending'
  order by o.id
  for no key update of o
)
insert into public.integrations_omnisend_outbox
  (merchant_id, kind, name, dedup_key, ordering_key, payload, occurred_at, expires_at, available_at)
select h.merchant_id, f.kind, f.name, f.dedup_key, omnisend_private.ordering_key(h.merchant_id, f.ordered_by), f.payload,
  f.occurred_at, f.occurred_at + f.time_to_live, now() + coalesce(f.wait, interval '0')
from jsonb_to_recordset(%(rows)s::jsonb) as f (
  after_id bigint, kind public.omnisend_outbox_kind, name text, dedup_key text, ordered_by text, payload jsonb,
  occurred_at timestamptz, time_to_live interval, wait interval
)
join held h on h.id = f.after_id
on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;
