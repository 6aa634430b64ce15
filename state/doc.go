// Package state remembers what davit did and what was decided about it: releases,
// the journal of steps, holds, pins, suspensions, what an operator stopped, events
// and the deliveries that are still to be made. That a container was adopted is
// written here and nowhere else.
//
// It is one SQLite database in the data directory, and it is not the only truth.
// What davit made is written on the containers themselves, so that a lost database
// costs history and never a container: Open sets a damaged file aside, goes back
// to the newest snapshot that is whole, else starts empty, and Rebuild then reads
// the labels. What must outlive the database lies beside it in files of its own:
// the host key and the instance's identity.
//
//	davit.lock          held by the agent; its content is the holder's pid
//	host.key            32 random bytes in hex; never leaves the host
//	instance            this davit's identity, as its containers' labels carry it
//	state.db            with -wal and -shm while it is open
//	state.db.corrupt-…  a database that was found damaged
//	snapshots/          copies, taken after good releases and before migrations
//
// One connection writes and syncs every commit before it answers: a sequence
// number that was given out stays given out. Readers have connections of their
// own and never wait for the writer. A Reader alone, from OpenReadOnly, needs no
// lock and leaves the directory as it is. The tables are made to be read by
// people, too: try `sqlite3 state.db 'select * from history'`. For that reason
// the schema keeps to what old versions of that program understand, and times are
// text in UTC that sorts.
//
// Rendered projects hold environment values, and therefore secrets. They are
// stored sealed with a key derived from the host key; everything else is plain.
package state
