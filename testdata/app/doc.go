// Command app is the service that the tests and the demo deploy. It answers with
// its version, so that a client can tell releases apart, and it misbehaves on
// request: never healthy, dying early, dying at once on SIGTERM.
//
//	app [serve]           serve / and /healthz
//	app healthcheck       exit 0 when /healthz of this container answers 200
//	app migrate           a one-shot task
//	app load [flags] URL  send requests and count who answered
//	app callee            serve callers inside the stack, and lose none when it ends
//	app caller [-kept] URL  be such callers, and count as load does
//
// What it does is said by environment variables, because those are part of an
// image and of a compose file:
//
//	VERSION        what / answers
//	PORT           where it listens; default 8080
//	HEALTH         "never": /healthz always answers 503
//	HEALTHY_AFTER  /healthz answers 503 for this long after the start
//	EXIT_AFTER     exit with EXIT_CODE after this long
//	EXIT_CODE      for EXIT_AFTER and migrate; default 0
//	STOP           "drain" (default) or "exit": how it meets SIGTERM
//	DRAIN          how long it goes on serving after SIGTERM; default 300ms
//	DATA           a directory that it writes to and must be the only writer of
//	MIGRATE_FOR    how long migrate takes
//	TELL           files, between colons, that it prints at the start, with its
//	               environment
//	RECORDS        TCP ports, between colons, at which it echoes records
//
//	ERRORS         how many of 100 requests to / it fails, ERRORS_FROM many excepted
//	DELAY          how long an answer of / takes
//	OOM_AT         the request to / at which it takes memory until it is killed
//	UNHEALTHY_AFTER  it fails every request to / and /healthz from so long after the
//	               start on
//
// GET /metrics counts the requests to / and those that failed, for Prometheus. GET and PUT of /file/PATH read and write its files. POST /echo answers with what it
// was sent, and GET /socket is a WebSocket that does. It speaks HTTP/1 and HTTP/2, and
// says in the field Served-By which container answers, as VERSION@HOSTNAME.
package main
