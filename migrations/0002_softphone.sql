-- The SIP account of an agent's softphone. The browser signs on with it, so the password is kept as it is.
-- No CHECK here: PostgreSQL writes a row that fails one into its log as a whole, with the password.

CREATE TABLE agent_phones (
    agent_id bigint PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    unit_id smallint NOT NULL DEFAULT 1,
    uri text NOT NULL,
    auth_user text NOT NULL DEFAULT '',
    password text NOT NULL,
    wss_url text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now()
);
