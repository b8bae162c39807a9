-- The first schema. unit_id (business unit, one by default) leads keys and unique constraints: data scope,
-- several companies in one installation and sharding hang on it. Ids come from one sequence, so an id is
-- unique over all kinds of things. The intake's hot tables carry no foreign keys to units, agents and queues:
-- those rows are disabled, never deleted.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE SEQUENCE object_id CACHE 32;

CREATE TABLE units (
    id smallint PRIMARY KEY,
    name text NOT NULL
);
INSERT INTO units VALUES (1, 'default');

CREATE TABLE agents (
    unit_id smallint NOT NULL DEFAULT 1 REFERENCES units,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'supervisor', 'administrator')),
    extension text,
    language text NOT NULL DEFAULT '',
    skills text[] NOT NULL DEFAULT '{}',
    password_hash text,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX agents_email ON agents (unit_id, lower(email));
CREATE UNIQUE INDEX agents_extension ON agents (unit_id, extension) WHERE extension IS NOT NULL AND disabled_at IS NULL;

CREATE TABLE presence (
    agent_id bigint PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    unit_id smallint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'offline' CHECK (state IN ('available', 'not_ready', 'offline')),
    reason text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT now(),
    idle_since timestamptz NOT NULL DEFAULT now(),
    given_at timestamptz NOT NULL DEFAULT now(), -- when a mail or a form was last given to them
    call_id bigint -- a call of theirs that has no end yet: busy. Derived from contacts, kept for routing
) WITH (fillfactor = 50);
CREATE INDEX presence_free ON presence (idle_since, agent_id) WHERE state = 'available' AND call_id IS NULL;
CREATE INDEX presence_given ON presence (given_at, agent_id) WHERE state = 'available';

CREATE TABLE queues (
    unit_id smallint NOT NULL DEFAULT 1 REFERENCES units,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    name text NOT NULL,
    title_en text NOT NULL DEFAULT '',
    title_zh text NOT NULL DEFAULT '',
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    UNIQUE (unit_id, name)
);
CREATE UNIQUE INDEX queues_default ON queues (unit_id) WHERE is_default;

CREATE TABLE queue_dnis (
    unit_id smallint NOT NULL DEFAULT 1,
    dnis text NOT NULL,
    queue_id bigint NOT NULL REFERENCES queues ON DELETE CASCADE,
    PRIMARY KEY (unit_id, dnis)
);

CREATE TABLE queue_agents (
    queue_id bigint NOT NULL REFERENCES queues ON DELETE CASCADE,
    agent_id bigint NOT NULL REFERENCES agents ON DELETE CASCADE,
    PRIMARY KEY (queue_id, agent_id)
);
CREATE INDEX queue_agents_agent ON queue_agents (agent_id);

CREATE TABLE customers (
    unit_id smallint NOT NULL DEFAULT 1 REFERENCES units,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    number text NOT NULL,
    kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'company')),
    name text NOT NULL,
    company text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT '',
    time_zone text NOT NULL DEFAULT '',
    owner_agent_id bigint,
    tier text NOT NULL DEFAULT 'standard',
    blocked boolean NOT NULL DEFAULT false,
    provisional boolean NOT NULL DEFAULT false,
    do_not_contact text[] NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    fields jsonb NOT NULL DEFAULT '{}',
    notes text NOT NULL DEFAULT '',
    search_key text NOT NULL DEFAULT '',
    merged_into bigint,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    UNIQUE (unit_id, number)
);
CREATE INDEX customers_newest ON customers (unit_id, id DESC) WHERE deleted_at IS NULL AND merged_into IS NULL;
CREATE INDEX customers_search ON customers USING gin (search_key gin_trgm_ops);

-- A number or address may belong to several customers (a switchboard, a family): no uniqueness here.
CREATE TABLE customer_phones (
    unit_id smallint NOT NULL DEFAULT 1,
    customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    number text NOT NULL,
    label text NOT NULL DEFAULT '',
    extension text NOT NULL DEFAULT '',
    verified boolean NOT NULL DEFAULT false,
    position smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, number, extension)
);
CREATE INDEX customer_phones_number ON customer_phones (unit_id, number);
-- A national spelling, of whatever country, is the end of the number without its trunk zero.
CREATE INDEX customer_phones_end ON customer_phones (unit_id, reverse(number));

CREATE TABLE customer_emails (
    unit_id smallint NOT NULL DEFAULT 1,
    customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    address text NOT NULL,
    match_key text NOT NULL,
    verified boolean NOT NULL DEFAULT false,
    position smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, address)
);
CREATE INDEX customer_emails_key ON customer_emails (unit_id, match_key);

CREATE TABLE customer_external_ids (
    unit_id smallint NOT NULL DEFAULT 1,
    system text NOT NULL,
    external_id text NOT NULL,
    customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    PRIMARY KEY (unit_id, system, external_id)
);
CREATE INDEX customer_external_ids_customer ON customer_external_ids (customer_id);

-- What agents taught: "this is the caller" (is) or "never this one" (never), by number or address.
CREATE TABLE lessons (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    key text NOT NULL,
    customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    verdict text NOT NULL CHECK (verdict IN ('is', 'never')),
    agent_id bigint,
    contact_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz
);
CREATE INDEX lessons_key ON lessons (unit_id, key) WHERE undone_at IS NULL;

CREATE SEQUENCE ticket_id;

CREATE TABLE tickets (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('ticket_id'),
    kind text NOT NULL DEFAULT 'inquiry',
    subject text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'waiting', 'resolved', 'closed')),
    stage text NOT NULL DEFAULT '',
    priority text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    queue_id bigint,
    assignee_agent_id bigint,
    customer_id bigint,
    channel text NOT NULL DEFAULT 'api',
    fields jsonb NOT NULL DEFAULT '{}',
    first_response_due_at timestamptz,
    first_responded_at timestamptz,
    resolve_due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    merged_into bigint,
    version integer NOT NULL DEFAULT 1
) WITH (fillfactor = 80);
-- "Newest of a customer" is asked for by (-id): no other index can give that order, so that a plan made
-- while the table was empty does not walk the primary key backwards once it has grown.
CREATE INDEX tickets_customer ON tickets (customer_id, (-id));
CREATE INDEX tickets_queue ON tickets (unit_id, queue_id, id DESC) WHERE status IN ('open', 'waiting');
CREATE INDEX tickets_assignee ON tickets (assignee_agent_id, id DESC) WHERE assignee_agent_id IS NOT NULL;

-- One row per touch: a call, a mail, a form. legs holds the facts of each call leg (domain/call.py).
CREATE TABLE contacts (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    channel text NOT NULL CHECK (channel IN ('call', 'email', 'form', 'sms')),
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    source text NOT NULL,
    call_key text NOT NULL,
    state text NOT NULL,
    ani text,
    ani_raw text NOT NULL DEFAULT '',
    dnis text,
    display_name text NOT NULL DEFAULT '',
    withheld boolean NOT NULL DEFAULT false,
    customer_id bigint,
    ticket_id bigint,
    continued boolean NOT NULL DEFAULT false,
    agent_id bigint,
    rung_agent_ids bigint[] NOT NULL DEFAULT '{}',
    queue_id bigint,
    match text NOT NULL DEFAULT 'unknown' CHECK (match IN ('matched', 'ambiguous', 'unknown')),
    candidates json NOT NULL DEFAULT '[]',
    legs json NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL,
    answered_at timestamptz,
    ended_at timestamptz,
    hangup_cause text,
    recording_url text,
    disposition text,
    created_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX contacts_call_key ON contacts (unit_id, source, call_key);
CREATE INDEX contacts_customer ON contacts (customer_id, (-id)) WHERE customer_id IS NOT NULL;
CREATE INDEX contacts_ticket ON contacts (ticket_id);
CREATE INDEX contacts_live ON contacts (agent_id) WHERE channel = 'call' AND ended_at IS NULL;
CREATE INDEX contacts_waiting ON contacts (unit_id, queue_id, id)
    WHERE state = 'ringing' AND agent_id IS NULL AND rung_agent_ids = '{}';

-- The ledger: what came in, once. A second delivery of the same event finds its key here.
CREATE TABLE inbound_events (
    unit_id smallint NOT NULL DEFAULT 1,
    source text NOT NULL,
    event_key text NOT NULL,
    call_key text NOT NULL DEFAULT '',
    payload bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (unit_id, source, event_key)
);

CREATE TABLE blobs (
    sha256 bytea PRIMARY KEY,
    size bigint NOT NULL,
    content bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE blobs ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE messages (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    ticket_id bigint NOT NULL REFERENCES tickets ON DELETE CASCADE,
    contact_id bigint,
    kind text NOT NULL CHECK (kind IN ('note', 'reply', 'email', 'form', 'event')),
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    author_agent_id bigint,
    from_address text NOT NULL DEFAULT '',
    from_name text NOT NULL DEFAULT '',
    to_addresses text[] NOT NULL DEFAULT '{}',
    cc_addresses text[] NOT NULL DEFAULT '{}',
    subject text NOT NULL DEFAULT '',
    body_text text NOT NULL DEFAULT '',
    body_html text,
    quoted_text text NOT NULL DEFAULT '',
    trust text NOT NULL DEFAULT '',
    message_id text,
    thread_ids text[] NOT NULL DEFAULT '{}',
    raw_sha256 bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX messages_ticket ON messages (ticket_id, id);
CREATE INDEX messages_message_id ON messages (unit_id, message_id) WHERE message_id IS NOT NULL;

CREATE TABLE attachments (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE,
    name text NOT NULL,
    content_type text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    inline boolean NOT NULL DEFAULT false,
    content_id text NOT NULL DEFAULT ''
);
CREATE INDEX attachments_message ON attachments (message_id);

-- A pop is a row, and the agent's until acknowledged. Its frame is made from the contact when it is sent.
CREATE TABLE pops (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    agent_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    acked_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX pops_unacked ON pops (agent_id, created_at) WHERE acked_at IS NULL;

CREATE TABLE outbox (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    message_id bigint REFERENCES messages ON DELETE CASCADE,
    ticket_id bigint,
    mailbox text NOT NULL,
    mail_from text NOT NULL,
    rcpt_to text[] NOT NULL,
    raw bytea NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'queued';
CREATE INDEX outbox_message ON outbox (message_id);

CREATE TABLE quarantine (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    door text NOT NULL CHECK (door IN ('call', 'email', 'form')),
    source text NOT NULL,
    reason text NOT NULL,
    meta jsonb NOT NULL DEFAULT '{}',
    raw bytea NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'discarded')),
    attempts integer NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz
);
CREATE INDEX quarantine_open ON quarantine (unit_id, id DESC) WHERE state = 'open';

CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    agent_id bigint NOT NULL REFERENCES agents ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    client text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_agent ON sessions (agent_id);

CREATE TABLE api_tokens (
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    agent_id bigint NOT NULL REFERENCES agents ON DELETE CASCADE,
    name text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Who did what to what, from what: the timeline of records.
CREATE TABLE audit (
    unit_id smallint NOT NULL DEFAULT 1,
    id bigint PRIMARY KEY DEFAULT nextval('object_id'),
    at timestamptz NOT NULL DEFAULT now(),
    agent_id bigint,
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject_id bigint NOT NULL,
    data jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_subject ON audit (subject_kind, subject_id, id DESC);
