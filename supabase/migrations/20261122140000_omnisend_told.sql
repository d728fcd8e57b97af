-- What counts as told: to the brand that a merchant is connected to, and of an order's events only what was or will be sent.

set local lock_timeout = '4s';

alter table public.integrations_omnisend add column brand_since timestamptz;
comment on column public.integrations_omnisend.brand_since is
  'Since when the merchant is connected to this brand, where it was connected to another before: what was delivered earlier was told to that one.';

revoke select (brand_since), insert (brand_since), update (brand_since)
  on public.integrations_omnisend from public, anon, authenticated, service_role;
grant select (brand_since) on public.integrations_omnisend to authenticated, service_role;

comment on table omnisend_private.told_items is
  'Products, categories and contacts as Omnisend has them: a digest of what it last took, products and categories from batches and from rows of their own, contacts from batches. A contact is known by a hash.';

-- Orders of a sync's merchant as they stand, and which of their events Omnisend has or will be sent: one that expired or was skipped
-- it was never told, and what was delivered before brand_since another brand has. By a sync of orders or of the contacts in them, and
-- not otherwise.
create or replace function omnisend_private.sync_orders(p_sync_id bigint, p_order_ids bigint[])
returns table (order_id bigint, payload jsonb, created_at timestamptz, updated_at timestamptz, told text[])
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select o.id::bigint, to_jsonb(o), coalesce(o.created_at, s.created_at), coalesce(o.updated_at, o.created_at, s.created_at),
    array(
      select x.name::text from public.integrations_omnisend_outbox x
      where x.merchant_id = s.merchant_id and x.dedup_key = o.id::text and x.kind = 'event'
        and (x.state in ('pending', 'dead') or x.state = 'delivered' and (i.brand_since is null or x.settled_at >= i.brand_since))
    )
  from public.integrations_omnisend_syncs s
  join public.orders o on o.merchant_id = s.merchant_id and o.id = any (p_order_ids)
  left join public.integrations_omnisend i on i.merchant_id = s.merchant_id
  where s.id = p_sync_id and s.resource in ('orders', 'contacts');
end
$$;

comment on function omnisend_private.reconcile(uuid, timestamptz, bigint, int, boolean) is
  'Orders without a row of their own in the outbox, whatever state that is in: what expired, was skipped or went to another brand is not written again, since a live event may start automations. `backfill` imports it.';
