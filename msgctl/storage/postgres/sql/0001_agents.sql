-- The agents, and a notification of each change, so that no process uses an outdated prompt.
CREATE TABLE agents (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       text NOT NULL,                 -- the `sub` of its owner's tokens
    name          text NOT NULL,
    system_prompt text NOT NULL DEFAULT '',
    webhook_path  text NOT NULL,                 -- behind /webhook/ of n8n
    active        boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX agents_user_id ON agents (user_id);

CREATE FUNCTION msgctl_agents_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TRIGGER msgctl_agents_touch BEFORE UPDATE ON agents
    FOR EACH ROW EXECUTE FUNCTION msgctl_agents_touch();

-- The channel is keys.AGENT_NOTIFICATIONS, and the payload is the id.
CREATE FUNCTION msgctl_agents_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('msgctl_agents', OLD.id::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('msgctl_agents', NEW.id::text);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER msgctl_agents_tell AFTER INSERT OR UPDATE OR DELETE ON agents
    FOR EACH ROW EXECUTE FUNCTION msgctl_agents_tell();
