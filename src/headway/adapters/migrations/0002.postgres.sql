-- Playbooks, in versions. A version is never changed, a playbook never deleted, only marked.

CREATE TABLE playbooks (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    group_name text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,        -- the newest
    removed_us bigint, removed_by text  -- NULL while it is there
);
CREATE UNIQUE INDEX one_playbook_a_name ON playbooks (group_name, name) WHERE removed_us IS NULL;

CREATE TABLE playbook_versions (
    playbook bigint NOT NULL REFERENCES playbooks (no),
    number integer NOT NULL,
    at_us bigint NOT NULL,
    who text NOT NULL,
    notation text NOT NULL,          -- YAML or JSON
    format integer NOT NULL,         -- of the language of playbooks that it was checked by
    text text NOT NULL,              -- as it was typed
    PRIMARY KEY (playbook, number)
);

CREATE FUNCTION playbooks_keep_their_past() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a playbook keeps its id, group and past'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER playbooks_stay BEFORE DELETE OR TRUNCATE ON playbooks
    FOR EACH STATEMENT EXECUTE FUNCTION playbooks_keep_their_past();
CREATE TRIGGER playbooks_go_on BEFORE UPDATE ON playbooks FOR EACH ROW
    WHEN (OLD.removed_us IS NOT NULL OR NEW.no <> OLD.no OR NEW.id <> OLD.id
          OR NEW.group_name <> OLD.group_name OR NEW.version NOT IN (OLD.version, OLD.version + 1))
    EXECUTE FUNCTION playbooks_keep_their_past();
CREATE TRIGGER playbook_versions_stay_as_typed BEFORE UPDATE OR DELETE OR TRUNCATE
    ON playbook_versions
    FOR EACH STATEMENT EXECUTE FUNCTION playbooks_keep_their_past();
