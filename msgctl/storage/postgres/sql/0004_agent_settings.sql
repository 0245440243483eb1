-- What is set for one agent alone, by name; a setting that is absent comes from the configuration.
ALTER TABLE agents ADD COLUMN settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object');
