-- What a call centre does with calls: times of a call, after-call work, how a queue distributes.

ALTER TABLE contacts
    ADD COLUMN ring_seconds integer, -- from the start to the first pick-up, or to the end
    ADD COLUMN talk_seconds integer, -- picked up, without holds
    ADD COLUMN hold_seconds integer,
    ADD COLUMN routed boolean NOT NULL DEFAULT true, -- Ringpost chooses who is offered it; false: the PBX does
    ADD COLUMN stir text, -- the carrier's STIR/SHAKEN verdict: A, B, C, failed
    ADD COLUMN note text NOT NULL DEFAULT '',
    ADD COLUMN wrapped_up_at timestamptz, -- the agent's after-call work was done
    ADD COLUMN queued_at timestamptz, -- when it came into its present queue
    ADD COLUMN first_queue_id bigint; -- where it came in, when it overflowed

ALTER TABLE presence
    ADD COLUMN wrap_up_contact_id bigint, -- after-call work: not offered anything meanwhile
    ADD COLUMN wrap_up_until timestamptz; -- null: until the agent says so

DROP INDEX presence_free;
CREATE INDEX presence_free ON presence (idle_since, agent_id)
    WHERE state = 'available' AND call_id IS NULL AND wrap_up_contact_id IS NULL;
CREATE INDEX presence_wrapping ON presence (wrap_up_until) WHERE wrap_up_contact_id IS NOT NULL;

ALTER TABLE queues
    ADD COLUMN skills jsonb NOT NULL DEFAULT '{}', -- skill -> the least level that an agent must have
    ADD COLUMN wrap_up_seconds integer NOT NULL DEFAULT 0, -- 0: no after-call work
    ADD COLUMN dispositions jsonb NOT NULL DEFAULT '[]', -- [{"code", "en", "zh_CN"}]
    ADD COLUMN disposition_required boolean NOT NULL DEFAULT false,
    ADD COLUMN overflow_after_seconds integer, -- null: never
    ADD COLUMN overflow_queue_id bigint,
    ADD COLUMN hours jsonb NOT NULL DEFAULT '{}', -- {"mon": [["09:00", "17:30"]], ...}; empty: always open
    ADD COLUMN holidays jsonb NOT NULL DEFAULT '[]', -- ["2026-12-25", ...]
    ADD COLUMN time_zone text NOT NULL DEFAULT '', -- empty: that of the installation
    ADD COLUMN callback_due_seconds integer NOT NULL DEFAULT 3600; -- a missed call is to be called back within

DROP INDEX contacts_waiting;
CREATE INDEX contacts_waiting ON contacts (unit_id, queue_id, id)
    WHERE state = 'ringing' AND agent_id IS NULL AND rung_agent_ids = '{}' AND routed;

-- Whether the agent has the skills that the queue asks for; kept when either changes, so that routing asks nothing.
ALTER TABLE queue_agents ADD COLUMN eligible boolean NOT NULL DEFAULT true;

-- A call that was missed is a ticket of kind callback until somebody has spoken with the customer.
CREATE INDEX tickets_callback ON tickets (customer_id, id)
    WHERE kind = 'callback' AND status IN ('open', 'waiting') AND merged_into IS NULL;
