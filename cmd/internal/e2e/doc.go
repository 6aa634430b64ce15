// Package e2e holds the end-to-end tests: davit as a program, on a real engine,
// with a real Git server and a real registry.
//
// The package has no code of its own. Each test states a promise to an operator
// and checks it from outside, through package testbed. Where a promise is "at any
// instant" the instants are counted, tried one after another, and printed: see
// kill_test.go.
//
// Without a container engine these tests fail; they are never skipped.
package e2e
