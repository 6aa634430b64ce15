// Package gitsource turns a Git repository into revisions: resolved commits,
// each with a directory that holds exactly its files.
//
// A poll asks the repository for its references first and decides from that
// listing alone which commit the selector means and what its version is. Only a
// commit that has not been exported yet is fetched, so a quiet repository costs
// one small request and no disk write.
//
// Nothing of Git is kept. A fetch goes into a fresh bare store in a staging
// directory, the commit's files are read from it object by object, each compared
// with its hash, and written through an os.Root; then the store is thrown away.
// go-git never syncs to disk, never collects garbage and never repairs a damaged
// store, so a store that lives for one fetch is the only one that can be trusted.
// What lives on is the export: a directory and, beside it, a manifest with the
// hash of every file, written last. An export whose files and manifest disagree
// is fetched again. Forget removes the exports of sources that are configured no
// more.
//
// Servers are not trusted. Every conversation has a deadline that ends it
// whatever the server does, SSH included; listing, pack, objects, files and
// paths are bounded; a tree that could write outside its directory is refused
// with the path that does.
//
// Outcomes follow package reconcile: what only a human or a push can mend is
// reconcile.Stalled around one of the errors of this package, a server that asks
// for patience is reconcile.Waiting, and everything else is worth a retry. Not
// one of them touches the last good export, which Last returns even when the
// repository cannot be reached.
package gitsource
