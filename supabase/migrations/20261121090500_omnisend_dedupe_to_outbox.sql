-- What SOLDT's earlier integration already sent counts as delivered: its dedupe table becomes settled outbox rows.

set local lock_timeout = '4s';

do $$
begin
  if to_regclass('public.integrations_omnisend_dedupe') is null then
    return;
  end if;

  insert into public.integrations_omnisend_outbox
    (merchant_id, name, dedup_key, occurred_at, expires_at, state, created_at, settled_at)
  select
    merchant_id,
    case prefix
      when 'atc' then 'product_added_to_cart' when 'pv' then 'product_viewed' when 'co' then 'checkout_started'
      when 'op' then 'order_placed' when 'paid' then 'order_paid' when 'ful' then 'order_fulfilled'
      when 'can' then 'order_canceled' when 'ref' then 'order_refunded'
      -- evt:<type>:<hash>, legacy:<event name>:<hash>, and ids that browsers chose: by the name beside it, which is
      -- Omnisend's ("placed order"), else by the one in the id.
      else coalesce(
        omnisend_private.canonical_name(nullif(replace(lower(btrim(event_name)), ' ', '_'), '')),
        case when prefix in ('evt', 'legacy') then omnisend_private.canonical_name(nullif(split_part(rest, ':', 1), '')) end,
        'unknown'
      )
    end,
    case
      when prefix in ('ful', 'can', 'ref') then split_part(rest, ':', 1)  -- once per order, whatever the status or amount was
      when prefix in ('atc', 'pv', 'co', 'op', 'paid') then rest
      else event_id
    end,
    -- Kept for the whole retention from now on, however old: an order of last month may still be shipped.
    sent_at, sent_at, 'delivered', sent_at, now()
  from (
    select merchant_id, event_id, event_name, coalesce(created_at, now()) as sent_at,
      split_part(event_id, ':', 1) as prefix, substr(event_id, strpos(event_id, ':') + 1) as rest
    from public.integrations_omnisend_dedupe
    where event_id <> '' and length(event_id) <= 1000  -- longer ones fit no index, and no event of ours has such a key
  ) as sent
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;

  drop table public.integrations_omnisend_dedupe;
end
$$;
