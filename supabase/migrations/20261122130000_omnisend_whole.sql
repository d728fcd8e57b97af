-- Omnisend's other resources: what a merchant has switched on, which version of the API it is spoken to in, and a pause for
-- one kind of row where a key may not do what that kind needs.

set local lock_timeout = '4s';

alter table public.integrations_omnisend
  add column api_version text,
  add column sync_contacts boolean not null default false,
  add column sync_catalogue boolean not null default false,
  add column ordered_products boolean not null default false,
  add column locale text not null default 'en',
  add constraint integrations_omnisend_api_version_check check (api_version in ('v5', '2026-03-15')),
  add constraint integrations_omnisend_locale_check check (locale ~ '^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$');

comment on column public.integrations_omnisend.api_version is
  'The version of Omnisend''s API this merchant is spoken to in; null: the worker''s OMNISEND_API_VERSION. OAuth merchants: always 2026-03-15.';
comment on column public.integrations_omnisend.sync_contacts is
  'Whether contacts and consent are told, beside the contact that every event names.';
comment on column public.integrations_omnisend.sync_catalogue is 'Whether products and collections are told as they change.';
comment on column public.integrations_omnisend.ordered_products is
  'Whether each line of a placed order is told as an event "ordered product" of its own: one request a line.';
comment on column public.integrations_omnisend.locale is
  'Which text to take where a product has several: this one, its language, English, the first there is.';

grant select (api_version, sync_contacts, sync_catalogue, ordered_products, locale)
  on public.integrations_omnisend to authenticated, service_role;

create or replace view public.integrations_omnisend_status with (security_invoker = true) as
select merchant_id, status, auth_type, token_expires_at, scopes, created_at, updated_at, last_event_at,
  last_error, last_error_at, last_error_detail, brand_id, currency, country_code,
  api_version, sync_contacts, sync_catalogue, ordered_products, locale
from public.integrations_omnisend;

-- A key that may send events and not change products must go on sending events.
alter table public.integrations_omnisend_lanes
  add column forbidden_kinds public.omnisend_outbox_kind[] not null default '{}',
  add column forbidden_until timestamptz;
comment on column public.integrations_omnisend_lanes.forbidden_kinds is
  'Kinds of rows that Omnisend answered 403 to: not claimed before forbidden_until, while the others go on.';

-- Rows that follow from a settled one (an order''s contact, its lines) have a customer too. A hash, and nothing else.
grant execute on function omnisend_private.ordering_key(uuid, text) to omnisend_worker;
