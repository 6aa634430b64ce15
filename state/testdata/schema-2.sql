-- A database of schema 1, to be opened with the host key 07 repeated 32 times.
PRAGMA application_id = 1684108916;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE stacks (
	name     TEXT PRIMARY KEY,
	last_seq INTEGER NOT NULL -- the highest sequence number ever given out
);
INSERT INTO stacks VALUES('shop',5);
CREATE TABLE projects (
	id     TEXT PRIMARY KEY,
	sealed BLOB NOT NULL
);
INSERT INTO projects VALUES('e67de40f5a8aba167de3c771f3939e33ed1fdcdb2c189fc0d0f3e301967543c4',X'3adc80830363592c97cb8554fbcc45c8b07dda3821475dc688105034b511b68baaaa2eefad2d7aa54fe6d346c0');
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
INSERT INTO releases VALUES('shop',1,'deploy','v1.2.2','main@sha1:aaaa','aaaa','Ada','first','v1:01','v1:02','e67de40f5a8aba167de3c771f3939e33ed1fdcdb2c189fc0d0f3e301967543c4','succeeded','new revision','','poll','',0,0,'2026-11-21T10:00:00.000000000Z','2026-11-21T10:00:09.000000000Z');
INSERT INTO releases VALUES('shop',2,'deploy','v1.2.3','','','','','v1:04','',NULL,'failed','','web/2 exited with code 2','cli','ada',0,0,'2026-11-21T11:00:00.000000000Z','2026-11-21T11:01:00.000000000Z');
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
ALTER TABLE services ADD COLUMN platform TEXT NOT NULL DEFAULT ''; -- os/arch that the service asked for
ALTER TABLE services ADD COLUMN resolved TEXT; -- when a registry was last asked what the reference means
ALTER TABLE services ADD COLUMN built TEXT NOT NULL DEFAULT ''; -- tag of the build that made the image
INSERT INTO services VALUES('shop',1,0,'web','v1:03','web:1.2.2','sha256:d1','sha256:e1','["/data"]',1,0,'healthy after 1.3s','','[{"/data":"8f60"}]','linux/amd64','2026-11-21T09:00:00.000000000Z','davit.local/build/shop/web:b1');
INSERT INTO services VALUES('shop',2,0,'web','v1:05','web:1.2.3','','',NULL,0,0,'','panic',NULL,'',NULL,'');
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
INSERT INTO containers VALUES('shop',1,0,0,'c0ffee',0);
INSERT INTO containers VALUES('shop',2,0,0,'badbad',1);
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
INSERT INTO journal VALUES(1,'shop',2,1,'create web/2','badbad','2026-11-21T11:00:00.000000000Z','2026-11-21T11:00:00.000000000Z','');
CREATE TABLE holds (
	stack  TEXT PRIMARY KEY,
	spec   TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	reason TEXT NOT NULL,
	paused INTEGER NOT NULL,
	since  TEXT NOT NULL
);
INSERT INTO holds VALUES('shop','v1:04',2,'web/2 exited with code 2',0,'2026-11-21T10:00:00.000000000Z');
CREATE TABLE pins (
	stack TEXT PRIMARY KEY,
	seq   INTEGER NOT NULL,
	spec  TEXT NOT NULL,
	hold  INTEGER NOT NULL,
	actor TEXT NOT NULL,
	since TEXT NOT NULL
);
INSERT INTO pins VALUES('shop',1,'v1:04',1,'ada','2026-11-21T10:00:00.000000000Z');
CREATE TABLE suspensions (
	stack  TEXT PRIMARY KEY,
	reason TEXT NOT NULL,
	actor  TEXT NOT NULL,
	since  TEXT NOT NULL,
	until  TEXT -- NULL for never
);
INSERT INTO suspensions VALUES('shop','maintenance','ada','2026-11-21T10:00:00.000000000Z','2026-11-21T11:00:00.000000000Z');
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
INSERT INTO events VALUES(7,'2026-11-21T10:00:00.000000000Z','shop','','ReleaseFailed','error','web/2 exited with code 2',2,'','');
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
INSERT INTO outbox VALUES(1,'d1','ops','shop','{"id":7,"at":"2026-11-21T10:00:00Z","stack":"shop","kind":"ReleaseFailed","severity":"error","message":"web/2 exited with code 2","seq":2}','k','pending','2026-11-21T10:00:00.000000000Z','2026-11-21T10:00:00.000000000Z',0,'');
CREATE TABLE memory (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
);
INSERT INTO memory VALUES('source','{}');
CREATE TABLE stops (
	stack     TEXT NOT NULL,
	service   TEXT NOT NULL,
	container TEXT NOT NULL,
	seq       INTEGER NOT NULL, -- the release whose content was stopped
	actor     TEXT NOT NULL, -- '' for whoever used another tool
	since     TEXT NOT NULL,
	PRIMARY KEY (stack, service, container)
);
INSERT INTO stops VALUES('shop','web','c0ffee',1,'ada','2026-11-21T10:00:00.000000000Z');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('events',7);
CREATE INDEX releases_running ON releases (stack, seq) WHERE outcome = '';
CREATE INDEX journal_release ON journal (stack, seq, step);
CREATE INDEX events_stack ON events (stack, id);
CREATE INDEX outbox_due ON outbox (status, target, due);
CREATE INDEX outbox_stack ON outbox (target, stack, place);
CREATE VIEW history AS
SELECT r.stack, r.seq, r.kind, r.version, r.outcome, r.reason, r.failure,
	r.triggered_by AS "trigger", r.actor, r.restores, r.rollback_of,
	r.revision, r.subject, r.author, r.started, r.finished,
	(SELECT group_concat(s.name || '=' || CASE s.digest WHEN '' THEN s.image ELSE s.image || '@' || s.digest END, ' ')
	   FROM services s WHERE s.stack = r.stack AND s.seq = r.seq) AS services
FROM releases r
ORDER BY r.started DESC, r.stack, r.seq DESC;
COMMIT;
