package testbed

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// File is a file of a running container, as its app sees it.
func (s *Stack) File(c Container, path string) string {
	s.bed.tb.Helper()
	return s.file(c, http.MethodGet, path, "")
}

// WriteFile has a container's app write to a file, in place.
func (s *Stack) WriteFile(c Container, path, content string) {
	s.bed.tb.Helper()
	s.file(c, http.MethodPut, path, content)
}

func (s *Stack) file(c Container, method, path, content string) string {
	s.bed.tb.Helper()
	ctx, cancel := context.WithTimeout(s.bed.tb.Context(), 15*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.Addresses[s.Network()]+":8080/file"+path, strings.NewReader(content))
	if err != nil {
		s.bed.tb.Fatalf("%s %s of %s: %v", method, path, c.Name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.bed.tb.Fatalf("%s %s of %s: %v", method, path, c.Name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.bed.tb.Fatalf("%s %s of %s: %s, %v: %s", method, path, c.Name, response.Status, err, body)
	}
	return string(body)
}
