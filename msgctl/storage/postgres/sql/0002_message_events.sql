-- The ledger: the events of each message, copied from Redis. The projector creates one partition for each day.
CREATE TABLE message_events (
    at              timestamptz NOT NULL,        -- with seq: the id of its entry in the stream of Redis
    seq             integer NOT NULL,
    message_id      text NOT NULL,
    conversation_id text,                        -- where the event knows it: accepted and committed do
    what            text NOT NULL,
    actor           text NOT NULL,
    evidence        jsonb NOT NULL,
    PRIMARY KEY (at, seq)
) PARTITION BY RANGE (at);

CREATE INDEX message_events_message ON message_events (message_id);
CREATE INDEX message_events_conversation ON message_events (conversation_id) WHERE conversation_id IS NOT NULL;

-- How far the ledger is copied, written in the transaction of the events. The process that locks the row is the projector.
CREATE TABLE message_events_position (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    entry    text NOT NULL DEFAULT '0-0'
);
INSERT INTO message_events_position DEFAULT VALUES;

-- The messages that were accepted and have not ended. `msgctl events restore` accepts them again after Redis lost its data.
-- It contains the text of each message until its reply is delivered or it is a dead letter.
CREATE TABLE unfinished_messages (
    message_id text PRIMARY KEY,
    at         timestamptz NOT NULL,
    seq        integer NOT NULL,                 -- with `at`: the order of acceptance
    digest     text NOT NULL,                    -- of what a repetition must repeat
    body       text NOT NULL,                    -- the message as JSON
    doubtful   boolean NOT NULL DEFAULT false    -- its reply was being sent where a second send would be seen
);
