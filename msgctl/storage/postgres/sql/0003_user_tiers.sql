-- The tiers of users who have one, e.g. premium, and a notification of each change.
CREATE TABLE user_tiers (
    user_id    text PRIMARY KEY,                 -- the `sub` of the user's tokens
    tier       text NOT NULL,                    -- a name in [limits] tiers; another one counts as none
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The channel is keys.TIER_NOTIFICATIONS, and the payload is the user.
CREATE FUNCTION msgctl_user_tiers_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('msgctl_user_tiers', OLD.user_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('msgctl_user_tiers', NEW.user_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER msgctl_user_tiers_tell AFTER INSERT OR UPDATE OR DELETE ON user_tiers
    FOR EACH ROW EXECUTE FUNCTION msgctl_user_tiers_tell();
