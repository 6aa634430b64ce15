// Package analysis judges a new release beside the one that it replaces, while both get
// traffic: by what the edge counted, by what containers did and used, and by what
// Prometheus says. What becomes of the verdict is decided elsewhere.
//
// # Readings
//
// Every interval one Reading is taken of all sources, and Judge is told. Judge has no
// clock and asks nobody: readings and their times in, one reconcile.Finding out.
//
// # What requests prove
//
// Counters only grow, so what is judged is what they grew by. Each edge is followed by
// itself, since a successor begins at nothing and an elder goes on to count what it
// ends; a counter that became less was begun anew.
//
// What the edge counted is judged in blocks. A block grows with every reading until it
// says something: it is good once it has enough requests and their rate keeps the limit;
// it has failed once a release that keeps the limit would hardly ever do as badly by
// chance. Between these it is in doubt, and grows on. So neither one slow request of
// fifty fails a release, nor does one that answers nothing at all live on because the
// edge soon gave it nothing to answer. A release that is a little too bad may close some
// blocks by luck, and then one does not close any more. In the end all that did not
// fail has to be good together.
//
// # What is never a pass
//
// No number, too few requests, a query with no answer, a source that does not answer:
// none of them passes, unless the operator said so of missing data (no_data: pass).
package analysis
