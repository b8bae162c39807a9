-- Recordings of calls. The sound is a file under data_dir/recordings; here is what became of each.
-- The same address of a contact is one recording; md5, because a signed address may be longer than an index takes.

CREATE TABLE recordings (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    contact_id bigint NOT NULL,
    source text NOT NULL,
    url text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'fetched', 'linked', 'failed', 'deleted')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    content_type text,
    size bigint,
    duration_seconds double precision, -- null where the file does not tell
    path text, -- below data_dir/recordings
    error text NOT NULL DEFAULT '', -- domain/recording.py: a word, or a word and a number
    created_at timestamptz NOT NULL DEFAULT now(),
    fetched_at timestamptz
);
CREATE UNIQUE INDEX recordings_contact ON recordings (contact_id, md5(url));
CREATE INDEX recordings_due ON recordings (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX recordings_kept ON recordings (created_at) WHERE state = 'fetched';

-- The address that has its row in recordings. What differs is looked for every second, so the index holds only that.
ALTER TABLE contacts ADD COLUMN recording_taken_url text;
CREATE INDEX contacts_recorded ON contacts (id) WHERE recording_url IS DISTINCT FROM recording_taken_url;
