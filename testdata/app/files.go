package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
)

// tell prints the environment and the files that TELL names, as careless programs
// do when they fail.
func tell(files string) {
	if files == "" {
		return
	}
	for _, pair := range os.Environ() {
		fmt.Println("environment", pair)
	}
	for name := range strings.SplitSeq(files, ":") {
		content, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "app:", err)
			continue
		}
		fmt.Printf("file %s holds %s\n", name, content)
	}
}

// readFile answers with a file of this container, as its process sees it.
func readFile(w http.ResponseWriter, r *http.Request) {
	content, err := os.ReadFile(path.Clean("/" + r.PathValue("path")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	_, _ = w.Write(content) // a client that went away needs no answer
}

// writeFile replaces the content of a file of this container, in place.
func writeFile(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = os.WriteFile(path.Clean("/"+r.PathValue("path")), content, 0o644)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
