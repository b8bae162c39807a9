-- The call log: calls by when they started (ids are handed out in blocks, so they are no order of time), and by
-- the number of the other side. Neither value changes once a call is there, so events of a call do not pay for them.

CREATE INDEX contacts_call_log ON contacts (unit_id, started_at DESC, id DESC) WHERE channel = 'call';
CREATE INDEX contacts_peer ON contacts (unit_id, (CASE WHEN direction = 'outbound' THEN dnis ELSE ani END))
    WHERE channel IN ('call', 'sms');
CREATE INDEX contacts_note ON contacts USING gin (note gin_trgm_ops) WHERE note <> '';
