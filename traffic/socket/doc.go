// Package socket opens and dials the unix sockets by which davit's processes talk to
// each other: private to their owner, replaced without a moment in which the name is
// missing, and of any depth in the file system.
package socket
