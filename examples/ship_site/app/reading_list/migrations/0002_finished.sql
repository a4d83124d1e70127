-- NULL: still to be read.
ALTER TABLE books ADD COLUMN finished_at TEXT;
