-- An order that is placed, paid, fulfilled, canceled or refunded writes outbox rows in its own transaction.
--
-- Nothing here parses what a customer typed, so odd data cannot abort an order; nothing waits for a worker;
-- nothing is written for a merchant that is not connected, or disabled.

set local lock_timeout = '4s';

-- The events of one version of an order, in the order in which they are told.
create function omnisend_private.write_order_events(p_order public.orders, p_names text[]) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload, available_at)
  select
    i.merchant_id, n.name, p_order.id::text, omnisend_private.ordering_key(i.merchant_id, p_order.customer_email),
    to_jsonb(p_order),
    -- SOLDT's admin often saves the tracking number after the status: give it two minutes.
    case when n.name = 'order_fulfilled' and coalesce(p_order.tracking_number, '') = ''
      then now() + interval '2 minutes' else now() end
  from public.integrations_omnisend i cross join unnest(p_names) with ordinality as n (name, position)
  where i.merchant_id = p_order.merchant_id and i.status <> 'disabled'
  order by n.position
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;
end
$$;

-- Every checkout runs this, so the common case is one statement. It adds 285,000 instructions to an order (user mode,
-- PostgreSQL 17; the order itself: 238,000 prepared, 474,000 when parsed): to_jsonb and what it stores 82,000, the two
-- partial indexes 34,000, on conflict 21,000, the call for the ordering key 15,000, the primary key 10,000.
-- Tried and no better: a look-up first and then `values` (+10,000), `not exists` in place of `on conflict` (+29,000),
-- a statement trigger with a transition table (+14,000). Catching unique_violation saves 13,000 and costs every order
-- a second transaction id.
create function omnisend_private.order_inserted() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload)
  select
    i.merchant_id, 'order_placed', new.id::text,
    -- omnisend_private.ordering_key(i.merchant_id, new.customer_email), written out; a test compares the two.
    to_hex(hashtextextended(lower(btrim(new.customer_email)), uuid_hash_extended(i.merchant_id, 0))),
    to_jsonb(new)
  from public.integrations_omnisend i
  where i.merchant_id = new.merchant_id and i.status <> 'disabled'
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;

  if new.payment_status in ('paid', 'refunded') or new.status in ('shipped', 'delivered', 'cancelled', 'refunded') then
    perform omnisend_private.write_order_events(new, array_remove(array[
      case when new.payment_status = 'paid' then 'order_paid' end,
      case when new.status in ('shipped', 'delivered') then 'order_fulfilled' end,
      case when new.status = 'cancelled' then 'order_canceled' end,
      case when new.status = 'refunded' or new.payment_status = 'refunded' then 'order_refunded' end
    ], null));
  end if;
  return null;
end
$$;

create function omnisend_private.order_updated() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_names text[] := array_remove(array[
    case when new.payment_status = 'paid' and old.payment_status is distinct from 'paid' then 'order_paid' end,
    case when new.status in ('shipped', 'delivered')
      and (old.status is null or old.status not in ('shipped', 'delivered')) then 'order_fulfilled' end,
    case when new.status = 'cancelled' and old.status is distinct from 'cancelled' then 'order_canceled' end,
    case when (new.status = 'refunded' and old.status is distinct from 'refunded')
      or (new.payment_status = 'refunded' and old.payment_status is distinct from 'refunded') then 'order_refunded' end
  ], null);
begin
  if v_names <> '{}' then
    -- What is written already is not tried again: the insert would wait for a worker that rewrites the row just now.
    perform omnisend_private.write_order_events(new, array(
      select n.name
      from unnest(v_names) with ordinality as n (name, position)
      where not exists (
        select from public.integrations_omnisend_outbox o
        where o.merchant_id = new.merchant_id and o.kind = 'event' and o.name = n.name and o.dedup_key = new.id::text
      )
      order by n.position
    ));
  end if;
  -- Tracking that arrives while order_fulfilled waits is taken along. A row that a worker holds at this very
  -- moment is passed over: an admin's click never waits for a worker.
  if (new.tracking_number, new.tracking_carrier, new.tracking_url)
      is distinct from (old.tracking_number, old.tracking_carrier, old.tracking_url) then
    update public.integrations_omnisend_outbox o
    set payload = to_jsonb(new),
        available_at = case when coalesce(new.tracking_number, '') = '' or o.attempts > 0 then o.available_at else now() end
    where o.id = (
      select w.id from public.integrations_omnisend_outbox w
      where w.merchant_id = new.merchant_id and w.kind = 'event' and w.name = 'order_fulfilled'
        and w.dedup_key = new.id::text and w.state = 'pending'
        and (w.lease_until is null or w.lease_until <= now())
      for update skip locked
    );
  end if;
  return null;
end
$$;

create trigger integrations_omnisend_order_inserted
  after insert on public.orders
  for each row execute function omnisend_private.order_inserted();

create trigger integrations_omnisend_order_updated
  after update of status, payment_status, tracking_number, tracking_carrier, tracking_url on public.orders
  for each row
  when ((old.status, old.payment_status, old.tracking_number, old.tracking_carrier, old.tracking_url)
    is distinct from (new.status, new.payment_status, new.tracking_number, new.tracking_carrier, new.tracking_url))
  execute function omnisend_private.order_updated();
