-- Forgetting one person on request (GDPR, article 17; POPIA, section 24): what is held of an e-mail address, a phone or both, of
-- one merchant. Consents are otherwise never removed while their merchant is there, and no retention covers them.

set local lock_timeout = '4s';

-- As before, but for forget_person(). Any role can give itself the setting, so it only counts for the table's owner, as whom
-- that function runs; and no role but the owner has a right to remove a consent in the first place.
create or replace function omnisend_private.consents_stay() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    if not exists (select from public.merchants m where m.id = old.merchant_id) then
      return old;
    elsif current_setting('omnisend.forgetting', true) = old.merchant_id::text
      and current_user = (select pg_get_userbyid(c.relowner) from pg_catalog.pg_class c where c.oid = tg_relid)
    then
      return old;
    end if;
  end if;
  raise exception 'Consents are append-only: record what has changed with omnisend_record_consent()'
    using errcode = 'object_not_in_prerequisite_state';
end
$$;

-- Whether a value is this phone (E.164), however it is written. Without +, the country's code may be missing: up to three digits.
create function omnisend_private.is_phone(p_value text, p_phone text) returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  v_digits text := regexp_replace(p_value, '\(0\)|\D', '', 'g');
begin
  if btrim(p_value) like '+%' then
    return '+' || v_digits = p_phone;
  end if;
  v_digits := ltrim(v_digits, '0');
  return length(v_digits) >= length(p_phone) - 4 and right(p_phone, length(v_digits)) = v_digits;
end
$$;

-- Whether a payload is about the person with this e-mail address or phone. It reads the fields that
-- soldt_outbox.omnisend.mapping.people reads; a test compares them.
create function omnisend_private.names_person(p_payload jsonb, p_email text, p_phone text) returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  v_contact jsonb := p_payload -> 'contact';
begin
  if jsonb_typeof(v_contact) = 'string' then
    begin
      v_contact := (v_contact #>> '{}')::jsonb;
    exception
      when others then v_contact := null;  -- text that is no JSON names nobody to the mapping either
    end;
  end if;
  return exists (
    select
    from (values (p_payload), (v_contact)) as part (fields)
    cross join unnest(array['email', 'customer_email', 'customerEmail']) as name
    where lower(btrim(part.fields ->> name, e' \t\r\n')) = p_email
  ) or exists (
    select
    from (values (p_payload), (v_contact)) as part (fields)
    cross join unnest(array['phone', 'customer_phone', 'customerPhone']) as name
    where omnisend_private.is_phone(part.fields ->> name, p_phone)
  );
end
$$;

-- A batch's payload without the items of these names or marks; how many it keeps, and how many these were.
create function omnisend_private.batch_without(
  p_payload jsonb, p_items text[], p_marks text[], out payload jsonb, out kept bigint, out removed bigint
)
language sql immutable set search_path = ''
as $$
  select jsonb_set(p_payload, array[l.name], coalesce(jsonb_agg(i.item order by i.place) filter (where not i.named), '[]')),
    count(*) filter (where not i.named), count(*) filter (where i.named)
  from (select case when p_payload -> 'ids' is not null then 'ids' else 'items' end as name) l
  cross join lateral (
    select e.item, e.place,
      -- Of batch_submit a name, of batch_follow an array: name, mark, digest.
      coalesce(case jsonb_typeof(e.item)
        when 'array' then e.item ->> 0 = any (p_items) or e.item ->> 1 = any (p_marks)
        else e.item #>> '{}' = any (p_items)
      end, false) as named
    from jsonb_array_elements(p_payload -> l.name) with ordinality as e (item, place)
  ) i
  group by l.name
$$;

create function omnisend_private.forget_person(p_merchant_id uuid, p_email text, p_phone text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_email text := lower(nullif(btrim(p_email), ''));
  v_phone text := nullif(btrim(p_phone), '');
  v_addresses text[] := array_remove(array[v_email, v_phone], null);
  -- As soldt_outbox.redaction.contact_hash makes them; a test compares the two.
  v_hashes text[] := array(select left(encode(sha256(convert_to(a, 'UTF8')), 'hex'), 16) from unnest(v_addresses) a);
  v_found bigint[];
  v_items text[];
  v_logged bigint[];
  v_consents bigint;
  v_rows bigint;
  v_batch_items bigint;
  v_told bigint;
  v_logs bigint;
  v_in_hand bigint;
begin
  if p_merchant_id is null then
    raise exception 'p_merchant_id is null: a person is forgotten of a merchant' using errcode = 'invalid_parameter_value';
  elsif v_addresses = '{}' then
    raise exception 'p_email or p_phone must say whom to forget' using errcode = 'invalid_parameter_value';
  elsif length(v_email) > 254
    or v_email !~ '^[^[:space:][:cntrl:]@,;<>()"\[\]\\]{1,64}@[^[:space:][:cntrl:]@,;<>()"\[\]\\.]+(\.[^[:space:][:cntrl:]@,;<>()"\[\]\\.]+)+$'
  then
    raise exception 'p_email must be an e-mail address' using errcode = 'invalid_parameter_value';
  elsif v_phone !~ '^\+[1-9][0-9]{6,14}$' then
    raise exception 'p_phone must be in E.164 form, such as +27821234567: its country is not guessed here'
      using errcode = 'invalid_parameter_value';
  end if;

  perform set_config('omnisend.forgetting', p_merchant_id::text, true);
  delete from public.integrations_omnisend_consents c
  where c.merchant_id = p_merchant_id and c.identifier = any (v_addresses);
  get diagnostics v_consents = row_count;
  perform set_config('omnisend.forgetting', '', true);

  -- Rows that wait or are dead: no other holds a payload. An order_placed stands for an order, and is known by its key.
  v_found := array(
    select o.id
    from public.integrations_omnisend_outbox o
    where o.merchant_id = p_merchant_id and o.kind in ('event', 'contact') and o.state in ('pending', 'dead')
      and (o.ordering_key = omnisend_private.ordering_key(p_merchant_id, v_email)
        or omnisend_private.names_person(
          coalesce(o.payload, case when v_phone is not null then omnisend_private.placed_order(o.id) end), v_email, v_phone))
  );
  -- A row that a worker holds at this moment is settled by that worker; what it leaves is found when this is called again.
  update public.integrations_omnisend_outbox o
  set state = 'skipped', settled_at = coalesce(o.settled_at, now()), payload = null, ordering_key = null, last_error = 'forgotten',
      available_at = least(o.available_at, now()), lease_token = null, lease_until = null, leased_by = null
  where o.id = any (v_found) and o.state in ('pending', 'dead') and (o.lease_until is null or o.lease_until <= now());
  get diagnostics v_rows = row_count;
  delete from omnisend_private.kept_orders k
  using public.integrations_omnisend_outbox o
  where k.outbox_id = any (v_found) and o.id = k.outbox_id and o.state = 'skipped';

  -- Of batches, the items that name the person, by address or by an order of theirs (the names are those of sync_ids()), and
  -- those that Omnisend's answer will know by the hash.
  v_items := array(select 'c' || a from unnest(v_addresses) a) || array(
    select n.item
    from public.orders o
    cross join unnest(array['o' || o.id, o.id || '.1', o.id || '.2', o.id || '.3', o.id || '.4', o.id || '.5']) as n (item)
    where o.merchant_id = p_merchant_id
      and (lower(btrim(o.customer_email)) = v_email
        or (v_phone is not null and omnisend_private.is_phone(to_jsonb(o) ->> 'customer_phone', v_phone)))
      -- Reading all of the merchant's orders is spared where no batch could name one.
      and exists (
        select from public.integrations_omnisend_outbox x
        where x.merchant_id = p_merchant_id and x.kind = 'batch' and x.state in ('pending', 'dead')
          and x.payload ->> 'resource' in ('contacts', 'orders')
      )
  );
  with named as materialized (
    select o.id, (o.payload ->> 'sync')::bigint as sync, w.payload, w.kept, w.removed
    from public.integrations_omnisend_outbox o
    cross join lateral omnisend_private.batch_without(o.payload, v_items, v_hashes) w
    where o.merchant_id = p_merchant_id and o.kind = 'batch' and o.state in ('pending', 'dead')
      and o.payload ->> 'resource' in ('contacts', 'orders') and w.removed > 0
      and (o.lease_until is null or o.lease_until <= now())
    for no key update of o
  ),
  thinned as (
    update public.integrations_omnisend_outbox o
    set payload = case when n.kept > 0 then n.payload end,
        state = case when n.kept > 0 then o.state else 'skipped' end,
        settled_at = case when n.kept > 0 then o.settled_at else coalesce(o.settled_at, now()) end,
        last_error = case when n.kept > 0 then o.last_error else 'forgotten' end,
        available_at = case when n.kept > 0 then o.available_at else least(o.available_at, now()) end,
        lease_token = null, lease_until = null, leased_by = null
    from named n
    where o.id = n.id
    returning n.sync, n.removed
  ),
  counted as (
    update public.integrations_omnisend_syncs s
    set items_skipped = s.items_skipped + t.removed
    from (select sync, sum(removed) as removed from thinned group by sync) t
    where s.id = t.sync
  )
  select coalesce(sum(removed), 0) into v_batch_items from thinned;
  -- A sync's cursor may be the address: of one that is still written, what comes before it serves as well.
  update public.integrations_omnisend_syncs s
  set cursor = case when s.state = 'writing'
    then 'c' || coalesce((
      select max(c.identifier) from public.integrations_omnisend_consents c
      where c.merchant_id = p_merchant_id and c.identifier < substring(s.cursor from 2)), '')
    else '' end
  where s.merchant_id = p_merchant_id and s.resource = 'contacts'
    and s.cursor = any (array(select 'c' || a from unnest(v_addresses) a));

  delete from omnisend_private.told_items t
  where t.merchant_id = p_merchant_id and t.resource = 'contacts' and t.item_id = any (v_hashes);
  get diagnostics v_told = row_count;

  with cleared as (
    update public.integrations_omnisend_logs l
    set contact_hash = null, request = null, response = null,
        -- An address in a sentence is masked, with the hash behind it.
        error = case when not exists (select from unnest(v_hashes) h where strpos(l.error, h) > 0) then l.error end
    where l.merchant_id = p_merchant_id and l.contact_hash = any (v_hashes)
    returning l.outbox_id
  )
  select count(*), array_agg(distinct outbox_id) into v_logs, v_logged from cleared;
  update public.integrations_omnisend_outbox o
  set last_error = null
  where o.id = any (v_logged) and o.merchant_id = p_merchant_id
    and exists (select from unnest(v_hashes) h where strpos(o.last_error, h) > 0);

  select count(*) into v_in_hand
  from public.integrations_omnisend_outbox o
  where o.id = any (v_found) and o.state in ('pending', 'dead');
  select v_in_hand + count(*) into v_in_hand
  from public.integrations_omnisend_outbox o
  cross join lateral omnisend_private.batch_without(o.payload, v_items, v_hashes) w
  where o.merchant_id = p_merchant_id and o.kind = 'batch' and o.state in ('pending', 'dead')
    and o.payload ->> 'resource' in ('contacts', 'orders') and w.removed > 0;

  return jsonb_build_object('consents', v_consents, 'rows', v_rows, 'batch_items', v_batch_items, 'told', v_told, 'logs', v_logs,
    'in_hand', v_in_hand);
end
$$;

-- The public face: runs as its caller.
create function public.omnisend_forget_person(p_merchant_id uuid, p_email text default null, p_phone text default null)
returns jsonb
language plpgsql set search_path = ''
as $$
begin
  return omnisend_private.forget_person(p_merchant_id, p_email, p_phone);
end
$$;
comment on function public.omnisend_forget_person(uuid, text, text) is
  'Forgets a person of a merchant, by e-mail address, phone in E.164 form, or both: consents, what waits and what is dead, what logs know. Returns how many of each; in_hand: rows that a worker holds, so call it again. Neither Omnisend''s contact nor SOLDT''s orders are touched. For service_role.';
comment on table public.integrations_omnisend_consents is
  'Consents given and withdrawn, append-only but for omnisend_forget_person(): the newest by occurred_at holds, and of the same instant a withdrawal. Write with omnisend_record_consent().';

revoke execute on function
  omnisend_private.is_phone(text, text), omnisend_private.names_person(jsonb, text, text),
  omnisend_private.batch_without(jsonb, text[], text[]), omnisend_private.forget_person(uuid, text, text),
  public.omnisend_forget_person(uuid, text, text)
  from public, anon, authenticated, service_role, omnisend_worker;
grant execute on function omnisend_private.forget_person(uuid, text, text), public.omnisend_forget_person(uuid, text, text) to service_role;
