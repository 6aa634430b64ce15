// Package compose turns the compose files of one revision into Projects.
//
// # What a stack is made of
//
// ReadTree finds the stacks of an exported revision, or reads the list of them in
// davit.yaml; Load makes a Project of one. compose-go does what Compose does: merging, profiles, includes, extends,
// its schema and its types. Before it is let at the files a survey reads them
// all, because compose-go stops at the first mistake, does not know lines, and
// opens whatever a path leads to. The survey reports every mistake as a Problem
// with file, line and key, and refuses whatever is remote or leads out of the
// repository: by an absolute path, by "..", by "~" or by a symbolic link.
//
// Variables come from the stack's .env file, the files that the list names, the
// source's own variables, a file on the host and DAVIT_*, the later winning. The environment of the davit
// process is no source of anything. A variable that is not set and has no
// default counts as empty, as in Compose, and is noted; in an image reference it
// is a mistake, since what is left may well name another image.
//
// An attribute that is not in the table of supported ones is refused by name, and
// what has no effect is noted. Nothing is dropped silently.
//
// # What the host allows
//
// A Policy is read from a file on the host and judges the rendered Project, when
// no variable, include or symbolic link can hide anything any more. What it
// refuses are Violations, each with its file, key and rule. Some things no policy
// allows; they are part of loading.
//
// # Where things are mounted from
//
// A relative path that Git tracks and that no service of the stack may write to
// is mounted from DATA/files/<sum of its content>/<name>: an edit changes the
// path, so that an old container keeps its old file. A path that is written to,
// and one in it or around it, is mounted from DATA/stacks/NAME, as is one that
// Git does not track. In an adopted stack the directory that Docker Compose ran it
// in stands for DATA/stacks/NAME. Files.Write writes the tracked content there and
// backs up what a container had made of it; Files.Collect removes content that
// nobody needs any more.
//
// What is encrypted in Git, by age or by SOPS, is decrypted to a directory in
// memory when it is mounted, and in the process when it holds variables.
//
// # Hashes
//
// Service.Hash covers what a container is made of, its image apart. Project.Hash
// covers all that is declared. In both
//
//   - values count, not how they are spelled, nor the order of keys or of lists
//     whose order means nothing;
//   - DAVIT_* variables count as fixed text, except in image references, so that a
//     new commit by itself rolls nothing and hides no revert. They are therefore
//     refused where they would change where data is found;
//   - tracked files count by their content; places on the host do not count;
//   - every value is summed with the host's key, so that nobody can try out
//     passwords against a hash.
//
// ConfigHash is Compose's own hash, in the variants of its versions. It tells
// whether what Compose runs is what is declared, and is written on what davit
// makes; what davit replaces is decided by Service.Hash.
package compose
