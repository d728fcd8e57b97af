-- Where people who are known from a consent alone are read on: their cursor is an address, whose domain is no number.

set local lock_timeout = '4s';

create or replace function omnisend_private.sync_ids(p_merchant_id uuid, p_resource text, p_after text, p_limit int, p_since timestamptz)
returns table (item_id text)
language plpgsql stable set search_path = ''
as $$
declare
  v_after bigint := coalesce(substring(p_after from '^o?([0-9]+)')::bigint, -1);
  v_place int := coalesce(substring(p_after from '^[0-9]+\.([0-9]+)$'), '0')::int;
begin
  case p_resource
    when 'products' then
      return query
      select p.id::text from public.products p
      where p.merchant_id = p_merchant_id and p.id > v_after
      order by p.id limit p_limit;
    when 'categories' then
      return query
      select c.id::text from public.collections c
      where c.merchant_id = p_merchant_id and c.id > v_after
      order by c.id limit p_limit;
    when 'orders' then
      return query
      select o.id || '.' || e.place
      from public.orders o
      cross join lateral (values
        (1, true), (2, o.payment_status = 'paid'), (3, o.status in ('shipped', 'delivered')),
        (4, o.status = 'cancelled'), (5, o.status = 'refunded' or o.payment_status = 'refunded')
      ) as e (place, happened)
      where o.merchant_id = p_merchant_id and o.id >= v_after and (o.id, e.place) > (v_after, v_place)
        and (p_since is null or o.created_at >= p_since) and e.happened
      order by o.id, e.place limit p_limit;
    when 'contacts' then
      return query
      select n.item_id
      from (
        (select 'o' || max(o.id) as item_id, 1 as part, max(o.id) as place
         from public.orders o
         where o.merchant_id = p_merchant_id and p_after !~ '^c'
         group by lower(btrim(o.customer_email))
         having max(o.id) > v_after
         order by max(o.id) limit p_limit)
        union all
        (select 'c' || c.identifier, 2, row_number() over (order by c.identifier)
         from (
           select distinct k.identifier
           from public.integrations_omnisend_consents k
           where k.merchant_id = p_merchant_id and (p_after !~ '^c' or k.identifier > substring(p_after from 2))
             and not exists (
               select from public.orders o where o.merchant_id = p_merchant_id and lower(btrim(o.customer_email)) = k.identifier
             )
           order by k.identifier limit p_limit
         ) c)
      ) n
      order by n.part, n.place limit p_limit;
  end case;
end
$$;
