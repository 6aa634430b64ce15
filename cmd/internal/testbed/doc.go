// Package testbed is the world around davit, for the end-to-end tests and the
// demo: a Git server, an image registry, a container engine seen from outside, and
// the agent as a child process. Everything is real and everything can be made to
// fail: servers stop, hang and come back on the same port, the agent is killed at
// a chosen call to the engine.
//
// A Bed owns one such world and takes all of it away at the end: processes,
// containers, networks, volumes, images and files.
//
//	bed := testbed.New(t)
//	shop, repo := bed.Stack("shop"), bed.Repo("shop")
//	one := bed.Push("web:1.0.0", testbed.App{Version: "1.0.0"})
//	two := bed.Push("web:1.1.0", testbed.App{Version: "1.1.0"})
//
//	repo.Release("v1.0.0", web(shop, one))
//	agent := bed.Agent(testbed.Run{Repo: repo.URL})
//	agent.WaitSynced(shop.Name, "v1.0.0")
//
//	watch := shop.Mark()
//	repo.Release("v1.1.0", web(shop, two))
//	agent.WaitSynced(shop.Name, "v1.1.0")
//	watch.RequireMinReady("web", 1)
//
// What davit claims is never checked with davit's own code: the Engine here is a
// few HTTP calls to the engine's API, and the JSON that the commands print is read
// as it is documented.
package testbed
