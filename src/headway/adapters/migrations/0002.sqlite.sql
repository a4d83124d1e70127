-- Playbooks, in versions. A version is never changed, a playbook never deleted, only marked.

CREATE TABLE playbooks (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,        -- the newest
    removed_us INTEGER, removed_by TEXT  -- NULL while it is there
);
CREATE UNIQUE INDEX one_playbook_a_name ON playbooks (group_name, name) WHERE removed_us IS NULL;

CREATE TABLE playbook_versions (
    playbook INTEGER NOT NULL REFERENCES playbooks (no),
    number INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    who TEXT NOT NULL,
    notation TEXT NOT NULL,          -- YAML or JSON
    format INTEGER NOT NULL,         -- of the language of playbooks that it was checked by
    text TEXT NOT NULL,              -- as it was typed
    PRIMARY KEY (playbook, number)
);

CREATE TRIGGER playbooks_stay BEFORE DELETE ON playbooks
BEGIN SELECT RAISE(ABORT, 'a playbook is not deleted'); END;

CREATE TRIGGER playbooks_go_on BEFORE UPDATE ON playbooks
WHEN OLD.removed_us IS NOT NULL OR NEW.no <> OLD.no OR NEW.id <> OLD.id
     OR NEW.group_name <> OLD.group_name OR NEW.version NOT IN (OLD.version, OLD.version + 1)
BEGIN SELECT RAISE(ABORT, 'a playbook keeps its id, group and past'); END;

CREATE TRIGGER playbook_versions_stay_as_typed BEFORE UPDATE ON playbook_versions
BEGIN SELECT RAISE(ABORT, 'a version of a playbook is not changed'); END;

CREATE TRIGGER playbook_versions_stay BEFORE DELETE ON playbook_versions
BEGIN SELECT RAISE(ABORT, 'a version of a playbook is not deleted'); END;
