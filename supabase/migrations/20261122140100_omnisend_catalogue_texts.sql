-- Texts in several languages, in the look-up of line items' products: events choose among them as the catalogue does. So what a column
-- of JSON holds is given whole, and no description is cut in the middle of its JSON.

set local lock_timeout = '4s';

-- A text as a shop keeps it: text, or the JSON text of an object by language. No text in it is longer than what Omnisend takes
-- of a description, the longest it takes: more would travel for nothing. Text that looks like JSON is cut as JSON where it is some.
create function omnisend_private.bounded_text(p_value jsonb) returns text
language plpgsql immutable strict set search_path = ''
as $$
declare
  c_longest constant integer := 1000;
  c_languages constant integer := 200;
  v_text text := p_value #>> '{}';
  v_texts jsonb := p_value;
begin
  if jsonb_typeof(p_value) not in ('string', 'number', 'object') then
    return null;
  elsif length(v_text) <= c_longest then
    return v_text;
  end if;
  if jsonb_typeof(p_value) = 'string' and left(v_text, 1) = '{' then
    begin
      v_texts := v_text::jsonb;
    exception when others then
      null;  -- it only looks like JSON
    end;
  end if;
  if jsonb_typeof(v_texts) <> 'object' then
    return left(v_text, c_longest);
  end if;
  return (
    select jsonb_object_agg(l.key, left(l.value #>> '{}', c_longest))::text
    from (
      select t.key, t.value from jsonb_each(v_texts) t
      where jsonb_typeof(t.value) in ('string', 'number')
      order by t.key
      limit c_languages
    ) l
  );
end
$$;
revoke execute on function omnisend_private.bounded_text(jsonb) from public, anon, authenticated, service_role, omnisend_worker;

-- As it was, but for the texts. It gives the same types, so that rights that were granted or revoked stay as they are, and workers
-- from before it go on.
create or replace function omnisend_private.catalogue(p_merchant_ids uuid[], p_product_ids bigint[])
returns table (merchant_id uuid, product_id bigint, title text, description text, images jsonb, variants jsonb, collections jsonb)
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select p.merchant_id, p.id::bigint, omnisend_private.bounded_text(to_jsonb(p.title)),
    omnisend_private.bounded_text(to_jsonb(p.description)), to_jsonb(p.images),
    (select jsonb_agg(jsonb_build_object('id', v.id, 'sku', v.sku, 'image_url', v.image_url, 'option_values', v.option_values) order by v.id)
     from public.product_variants v where v.product_id = p.id),
    (select jsonb_agg(jsonb_build_object('id', c.id, 'title', omnisend_private.bounded_text(to_jsonb(c.name))) order by c.id)
     from public.collection_products cp join public.collections c on c.id = cp.collection_id
     where cp.product_id = p.id and c.merchant_id = p.merchant_id)
  from unnest(p_merchant_ids, p_product_ids) as wanted (merchant_id, product_id)
  join public.products p on p.id = wanted.product_id and p.merchant_id = wanted.merchant_id;
end
$$;
