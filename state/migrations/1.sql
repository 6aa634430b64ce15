-- Schema 1. No STRICT tables: the sqlite3 program of a long-term distribution
-- must be able to read this file.

CREATE TABLE stacks (
	name     TEXT PRIMARY KEY,
	last_seq INTEGER NOT NULL -- the highest sequence number ever given out
);

-- Rendered projects, sealed. The id is a keyed hash of the content: equal
-- content is stored once, and the id tells nothing about it.
CREATE TABLE projects (
	id     TEXT PRIMARY KEY,
	sealed BLOB NOT NULL
);

CREATE TABLE releases (
	stack        TEXT NOT NULL,
	seq          INTEGER NOT NULL,
	kind         TEXT NOT NULL,
	version      TEXT NOT NULL,
	revision     TEXT NOT NULL,
	commit_id    TEXT NOT NULL,
	author       TEXT NOT NULL,
	subject      TEXT NOT NULL,
	spec         TEXT NOT NULL,
	hash         TEXT NOT NULL,
	project      TEXT REFERENCES projects (id),
	outcome      TEXT NOT NULL, -- '' while it runs
	reason       TEXT NOT NULL,
	failure      TEXT NOT NULL,
	triggered_by TEXT NOT NULL,
	actor        TEXT NOT NULL,
	restores     INTEGER NOT NULL,
	rollback_of  INTEGER NOT NULL,
	started      TEXT NOT NULL,
	finished     TEXT,
	PRIMARY KEY (stack, seq)
);
CREATE INDEX releases_running ON releases (stack, seq) WHERE outcome = '';

CREATE TABLE services (
	stack       TEXT NOT NULL,
	seq         INTEGER NOT NULL,
	place       INTEGER NOT NULL,
	name        TEXT NOT NULL,
	spec        TEXT NOT NULL,
	image       TEXT NOT NULL,
	digest      TEXT NOT NULL,
	image_id    TEXT NOT NULL,
	volumes     TEXT, -- JSON array of the image's own volume paths
	healthcheck INTEGER NOT NULL, -- 1 when the image declares one
	completed   INTEGER NOT NULL, -- 1 for a one-shot that succeeded
	outcome     TEXT NOT NULL,
	logs        TEXT NOT NULL,
	data        TEXT, -- JSON array: for each container its unnamed volumes, path to name
	PRIMARY KEY (stack, seq, place),
	FOREIGN KEY (stack, seq) REFERENCES releases (stack, seq)
);

CREATE TABLE containers (
	stack   TEXT NOT NULL,
	seq     INTEGER NOT NULL,
	service INTEGER NOT NULL, -- services.place
	place   INTEGER NOT NULL,
	id      TEXT NOT NULL,
	failed  INTEGER NOT NULL,
	PRIMARY KEY (stack, seq, service, failed, place),
	FOREIGN KEY (stack, seq, service) REFERENCES services (stack, seq, place)
);

CREATE TABLE journal (
	id        INTEGER PRIMARY KEY,
	stack     TEXT NOT NULL,
	seq       INTEGER NOT NULL,
	step      INTEGER NOT NULL,
	action    TEXT NOT NULL,
	container TEXT NOT NULL,
	intended  TEXT NOT NULL,
	done      TEXT, -- NULL while the step is under way
	error     TEXT NOT NULL
);
CREATE INDEX journal_release ON journal (stack, seq, step);

CREATE TABLE holds (
	stack  TEXT PRIMARY KEY,
	spec   TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	reason TEXT NOT NULL,
	paused INTEGER NOT NULL,
	since  TEXT NOT NULL
);

CREATE TABLE pins (
	stack TEXT PRIMARY KEY,
	seq   INTEGER NOT NULL,
	spec  TEXT NOT NULL,
	hold  INTEGER NOT NULL,
	actor TEXT NOT NULL,
	since TEXT NOT NULL
);

CREATE TABLE suspensions (
	stack  TEXT PRIMARY KEY,
	reason TEXT NOT NULL,
	actor  TEXT NOT NULL,
	since  TEXT NOT NULL,
	until  TEXT -- NULL for never
);

-- AUTOINCREMENT, because an id must not come back after old events are deleted.
CREATE TABLE events (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	at        TEXT NOT NULL,
	stack     TEXT NOT NULL,
	service   TEXT NOT NULL,
	kind      TEXT NOT NULL,
	severity  TEXT NOT NULL,
	message   TEXT NOT NULL,
	seq       INTEGER NOT NULL,
	version   TEXT NOT NULL,
	commit_id TEXT NOT NULL
);
CREATE INDEX events_stack ON events (stack, id);

CREATE TABLE outbox (
	place    INTEGER PRIMARY KEY,
	id       TEXT NOT NULL UNIQUE,
	target   TEXT NOT NULL,
	stack    TEXT NOT NULL,
	event    TEXT NOT NULL, -- JSON
	key      TEXT NOT NULL,
	status   TEXT NOT NULL, -- pending, delivered or dropped
	created  TEXT NOT NULL,
	due      TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	note     TEXT NOT NULL -- why the last attempt failed, or why it was dropped
);
CREATE INDEX outbox_due ON outbox (status, target, due);
CREATE INDEX outbox_stack ON outbox (target, stack, place);

CREATE TABLE memory (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- What a person wants to see of the past, newest first.
CREATE VIEW history AS
SELECT r.stack, r.seq, r.kind, r.version, r.outcome, r.reason, r.failure,
	r.triggered_by AS "trigger", r.actor, r.restores, r.rollback_of,
	r.revision, r.subject, r.author, r.started, r.finished,
	(SELECT group_concat(s.name || '=' || CASE s.digest WHEN '' THEN s.image ELSE s.image || '@' || s.digest END, ' ')
	   FROM services s WHERE s.stack = r.stack AND s.seq = r.seq) AS services
FROM releases r
ORDER BY r.started DESC, r.stack, r.seq DESC;
