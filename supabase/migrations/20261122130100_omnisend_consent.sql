-- Who agreed to be written to, when and how, and who no longer does: per merchant, channel and address. SOLDT has no column for it.
--
-- Rows are only ever added. What holds is the newest by `occurred_at`, so a row that arrives late changes nothing that a
-- person said since.

set local lock_timeout = '4s';

create table public.integrations_omnisend_consents (
  id bigint generated always as identity primary key,
  merchant_id uuid not null,
  channel text collate "C" not null,
  identifier text collate "C" not null,
  given boolean not null,
  occurred_at timestamptz not null,
  source text not null,
  ip inet,
  user_agent text,
  origin text collate "C" not null default 'shop',
  created_at timestamptz not null default now(),
  constraint integrations_omnisend_consents_channel_check check (channel in ('email', 'sms')),
  -- As it is sent: Omnisend tells e-mail addresses apart by case, and takes phones in E.164 form. ASCII alone, so that lower
  -- case is the same everywhere.
  constraint integrations_omnisend_consents_identifier_check check (
    case channel
      when 'email' then identifier = lower(identifier) and octet_length(identifier) = length(identifier) and length(identifier) <= 254
        and identifier ~ '^[^[:space:][:cntrl:]@,;<>()"\[\]\\]{1,64}@[^[:space:][:cntrl:]@,;<>()"\[\]\\.]+(\.[^[:space:][:cntrl:]@,;<>()"\[\]\\.]+)+$'
      else identifier ~ '^\+[1-9][0-9]{6,14}$'
    end
  ),
  constraint integrations_omnisend_consents_occurred_at_check
    check (occurred_at >= '2000-01-01 00:00:00Z' and occurred_at <= created_at + interval '5 minutes'),
  constraint integrations_omnisend_consents_source_check check (source = btrim(source) and length(source) between 1 and 100),
  constraint integrations_omnisend_consents_user_agent_check check (length(user_agent) between 1 and 200),
  constraint integrations_omnisend_consents_origin_check check (origin in ('shop', 'omnisend', 'import'))
);
-- No foreign key to merchants, as for the outbox: omnisend_private.merchant_deleted cleans up.

-- What a person said last on a channel is the first entry: the newest; of the same instant a withdrawal, then the higher id.
create index integrations_omnisend_consents_newest_idx
  on public.integrations_omnisend_consents (merchant_id, identifier, channel, occurred_at desc, given, id desc);

comment on table public.integrations_omnisend_consents is
  'Consents given and withdrawn, append-only: the newest by occurred_at holds, and of the same instant a withdrawal. Write with omnisend_record_consent().';
comment on column public.integrations_omnisend_consents.identifier is
  'Of channel email the address, trimmed and in lower case; of channel sms the phone in E.164 form.';
comment on column public.integrations_omnisend_consents.given is 'false: withdrawn.';
comment on column public.integrations_omnisend_consents.occurred_at is 'When the person said so, which may be long before the row was written.';
comment on column public.integrations_omnisend_consents.source is 'Where they said so: checkout, newsletter form.';
comment on column public.integrations_omnisend_consents.origin is
  'shop; import (from another system: nobody is welcomed for it); omnisend (read there, so it is not told there again).';

create function omnisend_private.consents_stay() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    if not exists (select from public.merchants m where m.id = old.merchant_id) then
      return old;
    end if;
  end if;
  raise exception 'Consents are append-only: record what has changed with omnisend_record_consent()'
    using errcode = 'object_not_in_prerequisite_state';
end
$$;

create trigger integrations_omnisend_consents_stay
  before update or delete on public.integrations_omnisend_consents
  for each row execute function omnisend_private.consents_stay();
create trigger integrations_omnisend_consents_not_truncated
  before truncate on public.integrations_omnisend_consents
  for each statement execute function omnisend_private.consents_stay();

create or replace function omnisend_private.merchant_deleted() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (select from public.merchants m where m.id = old.merchant_id) then
    delete from public.integrations_omnisend_outbox where merchant_id = old.merchant_id;
    delete from public.integrations_omnisend_logs where merchant_id = old.merchant_id;
    delete from public.integrations_omnisend_lanes where merchant_id = old.merchant_id;
    delete from public.integrations_omnisend_consents where merchant_id = old.merchant_id;
  end if;
  return null;
end
$$;

-- An address, or null for what is none. (pg_input_is_valid() is not there before PostgreSQL 16.)
create function omnisend_private.ip_address(p_text text) returns inet
language plpgsql immutable set search_path = ''
as $$
declare
  v_ip inet;
begin
  v_ip := nullif(btrim(p_text), '')::inet;
  return case when v_ip = host(v_ip)::inet then v_ip end;  -- a network is nobody's address
exception
  when invalid_text_representation then return null;
end
$$;

-- Raises for what cannot be told of a contact: misspelt fields would be left out without a word.
create function omnisend_private.check_contact(p_contact jsonb, p_fields text[]) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_field text;
begin
  if jsonb_typeof(p_contact) <> 'object' then
    raise exception 'p_contact must be a JSON object' using errcode = 'invalid_parameter_value';
  elsif octet_length(p_contact::text) > 32768 then
    raise exception 'p_contact has % bytes; at most 32768 are taken', octet_length(p_contact::text)
      using errcode = 'invalid_parameter_value';
  end if;
  select k into v_field from jsonb_object_keys(p_contact) k where k <> all (p_fields) order by k limit 1;
  if found then
    raise exception 'p_contact.% cannot be told here: the fields are %', left(v_field, 100), array_to_string(p_fields, ', ')
      using errcode = 'invalid_parameter_value';
  end if;
  if jsonb_typeof(p_contact -> 'customProperties') = 'object' then
    -- The same rule as soldt_outbox.omnisend.mapping.contact_details, told while the caller can still act on it.
    select k into v_field from jsonb_object_keys(p_contact -> 'customProperties') k where k !~ '^[A-Za-z0-9_]{1,128}$' order by k limit 1;
    if found then
      raise exception 'p_contact.customProperties.% is no name of a custom property: 1 to 128 letters, digits and underscores', left(v_field, 50)
        using errcode = 'invalid_parameter_value';
    end if;
  end if;
end
$$;

create function omnisend_private.contact_fields() returns text[]
language sql immutable set search_path = ''
as $$
  select array['email', 'phone', 'firstName', 'lastName', 'address', 'city', 'state', 'postalCode', 'country', 'countryCode',
    'birthdate', 'gender', 'tags', 'customProperties', 'createdAt']
$$;

-- What holds of a contact's rows: an order of their own, so that one that waits does not hold back its customer's events.
create function omnisend_private.contact_order(p_contact jsonb) returns text
language sql immutable set search_path = ''
as $$
  select 'contact:' || lower(coalesce(nullif(btrim(p_contact ->> 'email'), ''), nullif(btrim(p_contact ->> 'phone'), '')))
$$;

create function omnisend_private.record_consent(
  p_merchant_id uuid, p_channel text, p_identifier text, p_given boolean, p_source text, p_occurred_at timestamptz,
  p_contact jsonb, p_ip text, p_user_agent text, p_origin text
) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_identifier text := btrim(p_identifier);
  v_source text := btrim(p_source);
  v_at timestamptz := least(coalesce(p_occurred_at, now()), now());  -- a clock that is ahead: it was just now
  v_ip inet := omnisend_private.ip_address(p_ip);
  v_field text := case p_channel when 'email' then 'email' else 'phone' end;
  v_contact jsonb := coalesce(p_contact, '{}');
  v_told boolean;
  v_id bigint;
begin
  if p_merchant_id is null then
    raise exception 'p_merchant_id is null: a consent is given to a merchant' using errcode = 'invalid_parameter_value';
  elsif p_channel is null or p_channel not in ('email', 'sms') then
    raise exception 'p_channel must be email or sms' using errcode = 'invalid_parameter_value';
  elsif p_given is null then
    raise exception 'p_given must be true (given) or false (withdrawn)' using errcode = 'invalid_parameter_value';
  elsif v_source is null or length(v_source) not between 1 and 100 then
    raise exception 'p_source must say in 1 to 100 characters where it was said, such as checkout'
      using errcode = 'invalid_parameter_value';
  elsif p_origin is null or p_origin not in ('shop', 'omnisend', 'import') then
    raise exception 'p_origin must be shop, omnisend or import' using errcode = 'invalid_parameter_value';
  elsif not isfinite(p_occurred_at) or p_occurred_at > clock_timestamp() + interval '5 minutes' or v_at < '2000-01-01 00:00:00Z' then
    raise exception 'p_occurred_at must be an instant since 2000, and not of the future' using errcode = 'invalid_parameter_value';
  elsif v_ip is null and btrim(p_ip) <> '' then
    raise exception 'p_ip must be an IP address' using errcode = 'invalid_parameter_value';
  end if;
  if p_channel = 'email' then
    v_identifier := lower(v_identifier);
    -- The same rule as soldt_outbox.omnisend.mapping.people, and ASCII alone.
    if v_identifier is null or length(v_identifier) > 254 or octet_length(v_identifier) <> length(v_identifier)
      or v_identifier !~ '^[^[:space:][:cntrl:]@,;<>()"\[\]\\]{1,64}@[^[:space:][:cntrl:]@,;<>()"\[\]\\.]+(\.[^[:space:][:cntrl:]@,;<>()"\[\]\\.]+)+$'
    then
      raise exception 'p_identifier must be an e-mail address (an international domain in its xn-- form)'
        using errcode = 'invalid_parameter_value';
    end if;
  elsif v_identifier is null or v_identifier !~ '^\+[1-9][0-9]{6,14}$' then
    raise exception 'p_identifier must be a phone in E.164 form, such as +27821234567: its country is not guessed here'
      using errcode = 'invalid_parameter_value';
  end if;
  perform omnisend_private.check_contact(
    case when p_given then v_contact else v_contact - 'customProperties' end,  -- a withdrawal tells none, and is refused for none
    omnisend_private.contact_fields());

  select i.sync_contacts and i.status <> 'disabled' and p_origin <> 'omnisend' into v_told
  from public.integrations_omnisend i where i.merchant_id = p_merchant_id;
  if not found then
    return null;
  end if;

  -- A form posted twice is one consent: the same one, given a minute ago at most, with nothing withdrawn since. A
  -- withdrawal is only the same one where its instant is: otherwise what was given between the two would seem the newer.
  select c.id into v_id
  from public.integrations_omnisend_consents c
  where c.merchant_id = p_merchant_id and c.identifier = v_identifier and c.channel = p_channel
    and c.occurred_at between v_at - interval '1 minute' and v_at
    and c.given = p_given and c.source = v_source and c.origin = p_origin and (p_given or c.occurred_at = v_at)
    and not exists (
      select from public.integrations_omnisend_consents w
      where w.merchant_id = p_merchant_id and w.identifier = v_identifier and w.channel = p_channel
        and w.occurred_at >= c.occurred_at and w.given <> c.given
    )
  order by c.occurred_at desc, c.id desc
  limit 1;
  if found then
    return v_id;
  end if;

  insert into public.integrations_omnisend_consents
    (merchant_id, channel, identifier, given, occurred_at, source, ip, user_agent, origin)
  values (p_merchant_id, p_channel, v_identifier, p_given, v_at, v_source, v_ip, nullif(left(btrim(p_user_agent), 200), ''), p_origin)
  returning id into v_id;

  if v_told then
    -- A withdrawal names who it is about and nothing else, so that no odd detail can hold it up.
    v_contact := jsonb_strip_nulls(case when p_given then v_contact else jsonb_build_object(
      'email', v_contact -> 'email', 'phone', v_contact -> 'phone') end)
      || jsonb_build_object('channel', p_channel, v_field, v_identifier);
    -- The outbox row's instant is the one at which it was written: a consent of last year must not be too old to be told.
    perform omnisend_private.enqueue(
      p_merchant_id, case when p_given then 'consent_given' else 'consent_withdrawn' end, v_contact, v_id::text, now(),
      omnisend_private.contact_order(v_contact), 'contact');
  end if;
  return v_id;
end
$$;

-- What a storefront in the browser may say: that somebody agrees, now. Where from is taken from PostgREST's headers, and of the
-- contact no more is taken than an order placed in the same browser would tell: no tags, no custom properties.
-- A welcome message carries the name to whatever address was typed into the form, so a name that reads as a link is left out.
create function omnisend_private.record_consent_in_browser(
  p_merchant_id uuid, p_channel text, p_identifier text, p_given boolean, p_source text, p_contact jsonb
) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_headers json := nullif(current_setting('request.headers', true), '')::json;
  v_contact jsonb;
begin
  if not p_given and not exists (select from omnisend_private.administered_merchants() m where m = p_merchant_id) then
    raise exception 'Only an admin of the merchant or the server records that a consent was withdrawn' using errcode = 'insufficient_privilege';
  end if;
  if p_contact is not null then
    perform omnisend_private.check_contact(p_contact, array['email', 'phone', 'firstName', 'lastName', 'birthdate', 'country', 'countryCode']);
    select jsonb_object_agg(f.key, f.value) into v_contact
    from jsonb_each(p_contact) f
    where f.key not in ('firstName', 'lastName') or f.value #>> '{}' !~ '[/:@<>]|[[:alnum:]]\.[[:alpha:]]{2,}';
  end if;
  return omnisend_private.record_consent(
    p_merchant_id, p_channel, p_identifier, p_given, p_source, now(), v_contact,
    host(omnisend_private.ip_address(split_part(v_headers ->> 'x-forwarded-for', ',', 1))), v_headers ->> 'user-agent', 'shop');
end
$$;

-- The public face: runs as its caller, and does what that caller may.
create function public.omnisend_record_consent(
  p_merchant_id uuid, p_channel text, p_identifier text, p_given boolean default true, p_source text default 'checkout',
  p_occurred_at timestamptz default now(), p_contact jsonb default null, p_ip text default null, p_user_agent text default null,
  p_origin text default 'shop'
) returns bigint
language plpgsql set search_path = ''
as $$
begin
  if has_function_privilege('omnisend_private.record_consent(uuid,text,text,boolean,text,timestamptz,jsonb,text,text,text)', 'execute') then
    return omnisend_private.record_consent(
      p_merchant_id, p_channel, p_identifier, p_given, p_source, p_occurred_at, p_contact, p_ip, p_user_agent, p_origin);
  end if;
  return omnisend_private.record_consent_in_browser(p_merchant_id, p_channel, p_identifier, p_given, p_source, p_contact);
end
$$;
comment on function public.omnisend_record_consent(uuid, text, text, boolean, text, timestamptz, jsonb, text, text, text) is
  'Records that a person agrees (or no longer agrees) to be written to by e-mail or SMS, and has Omnisend told. Returns the consent''s id, or null where the merchant was never connected. A browser gives consent, now, and its address and user agent are taken from the request; an admin withdraws too; the server says everything.';

create function omnisend_private.contact_changed(p_merchant_id uuid, p_contact jsonb, p_changed_at timestamptz) returns bigint
language plpgsql security definer set search_path = ''
as $$
begin
  if p_contact is null then
    raise exception 'p_contact is null: it says who signed up or changed' using errcode = 'invalid_parameter_value';
  end if;
  perform omnisend_private.check_contact(p_contact, omnisend_private.contact_fields());
  if omnisend_private.contact_order(p_contact) is null then
    raise exception 'p_contact needs an email or a phone' using errcode = 'invalid_parameter_value';
  end if;
  if not exists (select from public.integrations_omnisend i where i.merchant_id = p_merchant_id and i.sync_contacts) then
    return null;
  end if;
  return omnisend_private.enqueue(
    p_merchant_id, 'contact_changed', p_contact,
    'sha256:' || encode(sha256(convert_to(p_contact::text || coalesce('|' || extract(epoch from p_changed_at)::text, ''), 'UTF8')), 'hex'),
    now(), omnisend_private.contact_order(p_contact), 'contact');
end
$$;

create function public.omnisend_contact_changed(p_merchant_id uuid, p_contact jsonb, p_changed_at timestamptz default null)
returns bigint
language plpgsql set search_path = ''
as $$
begin
  return omnisend_private.contact_changed(p_merchant_id, p_contact, p_changed_at);
end
$$;
comment on function public.omnisend_contact_changed(uuid, jsonb, timestamptz) is
  'Has Omnisend told of a customer who signed up or changed details. Returns the outbox row''s id, or null where the same was told already or contacts are not synchronised. With p_changed_at, details that return to what they were are told again. For service_role.';

-- What holds of each address asked for, for the worker; an address of which nothing is recorded has no row.
create function omnisend_private.consent_states(p_merchant_ids uuid[], p_channels text[], p_identifiers text[])
returns table (
  merchant_id uuid, channel text, identifier text, status text, since timestamptz, source text, ip text, user_agent text,
  origin text, recent boolean, consent_id bigint
)
language sql stable security definer set search_path = ''
as $$
  select w.merchant_id, w.channel, w.identifier, case when c.given then 'subscribed' else 'unsubscribed' end,
    c.occurred_at, c.source, host(c.ip), c.user_agent, c.origin, c.occurred_at > now() - interval '1 day', c.id
  from (
    select distinct on (u.merchant_id, u.channel, u.identifier) u.*
    from unnest(p_merchant_ids, p_channels, p_identifiers) as u (merchant_id, channel, identifier)
  ) w
  cross join lateral (
    select *
    from public.integrations_omnisend_consents c
    where c.merchant_id = w.merchant_id and c.identifier = w.identifier and c.channel = w.channel
    order by c.occurred_at desc, c.given, c.id desc
    limit 1
  ) c
$$;

-- Who may do what -------------------------------------------------------------------------------------------------------

alter table public.integrations_omnisend_consents enable row level security;
revoke all on public.integrations_omnisend_consents from public, anon, authenticated, service_role, omnisend_worker;
revoke all on sequence public.integrations_omnisend_consents_id_seq from public, anon, authenticated, service_role, omnisend_worker;

grant select on public.integrations_omnisend_consents to authenticated;
create policy integrations_omnisend_consents_admin on public.integrations_omnisend_consents
  for select to authenticated using (merchant_id = any (array(select omnisend_private.administered_merchants())));

-- The worker writes back what people said at Omnisend.
grant insert (merchant_id, channel, identifier, given, occurred_at, source, ip, user_agent, origin)
  on public.integrations_omnisend_consents to omnisend_worker;
create policy integrations_omnisend_consents_worker on public.integrations_omnisend_consents
  for insert to omnisend_worker with check (origin = 'omnisend');

revoke execute on function
  omnisend_private.consents_stay(), omnisend_private.ip_address(text), omnisend_private.check_contact(jsonb, text[]),
  omnisend_private.contact_fields(), omnisend_private.contact_order(jsonb),
  omnisend_private.record_consent(uuid, text, text, boolean, text, timestamptz, jsonb, text, text, text),
  omnisend_private.record_consent_in_browser(uuid, text, text, boolean, text, jsonb),
  public.omnisend_record_consent(uuid, text, text, boolean, text, timestamptz, jsonb, text, text, text),
  omnisend_private.contact_changed(uuid, jsonb, timestamptz), public.omnisend_contact_changed(uuid, jsonb, timestamptz),
  omnisend_private.consent_states(uuid[], text[], text[])
  from public, anon, authenticated, service_role, omnisend_worker;

-- A visitor's call passes from the public function to the private one. The schema holds nothing else that they may call.
grant usage on schema omnisend_private to anon;
grant execute on function public.omnisend_record_consent(uuid, text, text, boolean, text, timestamptz, jsonb, text, text, text)
  to anon, authenticated, service_role, omnisend_worker;
grant execute on function omnisend_private.record_consent_in_browser(uuid, text, text, boolean, text, jsonb) to anon, authenticated;
grant execute on function omnisend_private.record_consent(uuid, text, text, boolean, text, timestamptz, jsonb, text, text, text)
  to service_role, omnisend_worker;
grant execute on function public.omnisend_contact_changed(uuid, jsonb, timestamptz) to service_role, omnisend_worker;
grant execute on function omnisend_private.contact_changed(uuid, jsonb, timestamptz) to service_role, omnisend_worker;
grant execute on function omnisend_private.consent_states(uuid[], text[], text[]) to omnisend_worker;
