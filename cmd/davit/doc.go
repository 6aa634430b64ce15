// Command davit lowers releases from Git onto a Docker host, and hoists them
// back.
//
// It is the top floor of the house: every other package is built without knowing
// who uses it, and here they meet. run.go builds the agent, host.go the part of
// it that commands without an agent share, and each command has a file of its
// own. Commands speak to a running agent over its socket; those that only look
// read the record themselves when none runs.
//
// main.go alone knows signals and the process; everything else is reached through
// run, which a test calls as a person would.
package main
