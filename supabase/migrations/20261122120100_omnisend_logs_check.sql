-- Holds for the rows that were there before, too. By itself, since it reads them all and locks out nobody.

set local lock_timeout = '4s';

alter table public.integrations_omnisend_logs validate constraint integrations_omnisend_logs_kind_check;
