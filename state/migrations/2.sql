-- What an operator stopped and wants to stay stopped. A stop of one container names
-- it; one without a container is of the whole service.
CREATE TABLE stops (
	stack     TEXT NOT NULL,
	service   TEXT NOT NULL,
	container TEXT NOT NULL,
	seq       INTEGER NOT NULL, -- the release whose content was stopped
	actor     TEXT NOT NULL, -- '' for whoever used another tool
	since     TEXT NOT NULL,
	PRIMARY KEY (stack, service, container)
);

ALTER TABLE services ADD COLUMN platform TEXT NOT NULL DEFAULT ''; -- os/arch that the service asked for
ALTER TABLE services ADD COLUMN resolved TEXT; -- when a registry was last asked what the reference means
ALTER TABLE services ADD COLUMN built TEXT NOT NULL DEFAULT ''; -- tag of the build that made the image
