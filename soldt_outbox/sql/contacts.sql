-- Contacts and consent: recorded by callers, looked up by the worker.

-- name: record_consent
select public.omnisend_record_consent(%(merchant_id)s, %(channel)s, %(identifier)s, %(given)s, %(source)s, %(occurred_at)s,
  %(contact)s::jsonb, %(ip)s, %(user_agent)s, %(origin)s) as id;

-- name: contact_changed
select public.omnisend_contact_changed(%(merchant_id)s, %(contact)s::jsonb, %(changed_at)s) as id;

-- name: merchant_country
-- The country of phones that are written without one.
select country_code from public.integrations_omnisend where merchant_id = %(merchant_id)s;

-- name: consent_states
-- What holds of each (merchant, channel, identifier), given as three arrays of equal length; none for what nobody said
-- anything about. Read after the lease is taken, so that what waited for hours is told as it stands.
select merchant_id, channel, identifier, status, since, source, ip, user_agent, origin, recent, consent_id
from omnisend_private.consent_states(%(merchants)s::uuid[], %(channels)s::text[], %(identifiers)s::text[]);
