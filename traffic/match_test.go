package traffic

import (
	"io"
	"net/http"
	"testing"
)

func TestWhatARequestSaysOfItsClient(t *testing.T) {
	header, any := Match{Header: "X-Canary", Value: "on"}, Match{Header: "X-Canary"}
	cookie, anyCookie := Match{Cookie: "canary", Value: "1"}, Match{Cookie: "canary"}
	for name, c := range map[string]struct {
		match       Match
		field, says string
		want        bool
	}{
		"the field it looks for":                {header, "x-canary", "on", true},
		"with space around it":                  {header, "X-Canary", " on ", true},
		"another value":                         {header, "X-Canary", "ON", false},
		"another field":                         {header, "X-Canaries", "on", false},
		"any value":                             {any, "X-CANARY", "", true},
		"the cookie it looks for":               {cookie, "Cookie", "a=b; canary=1", true},
		"the cookie alone":                      {cookie, "cookie", "canary=1", true},
		"a cookie that begins like it":          {cookie, "Cookie", "canary=10", false},
		"a cookie whose value has it":           {cookie, "Cookie", "a=canary=1", false},
		"a cookie with a name in another case":  {cookie, "Cookie", "Canary=1", false},
		"any value of the cookie":               {anyCookie, "Cookie", "canary=", true},
		"a field that has the cookie's name":    {anyCookie, "canary", "1", false},
		"a cookie where a field is looked for":  {Match{Header: "canary"}, "Cookie", "canary=1", false},
		"a field of several, which is no match": {header, "X-Canary", "on, off", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.match.meets([]byte(c.field), []byte(c.says)); got != c.want {
				t.Errorf("%v for %s: %s", got, c.field, c.says)
			}
		})
	}
}

// TestWhoAsksForAReleaseGetsIt: over both versions of HTTP, whatever the weights say, and
// only as long as somebody of it serves.
func TestWhoAsksForAReleaseGetsIt(t *testing.T) {
	dir := t.TempDir()
	e, _ := runEdge(t, Options{Dir: dir})
	admits(t, dir, SocketName, NewAdmin(AdminOptions{Edge: e, Dir: dir, Program: "v1.0.0", Logger: discarded()}).Handler())
	admin := clientOf(t, dir)
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Affinity: AffinityCookie, Weights: map[int64]int{1: 100, 2: 0},
		Match: []Match{{Header: "X-Canary", Value: "on"}, {Cookie: "canary"}}, Matched: []int64{2}}
	for n, release := range []int64{1, 1, 2} {
		b := backend(n + 1)
		b.Release, b.Address = release, answering(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, []string{"", "old", "new"}[release]) // a client that is gone is none
		}).address
		web.Backends = append(web.Backends, b)
	}
	apply := func(generation int64) {
		t.Helper()
		if _, err := admin.Apply(t.Context(), tableOf(generation, web)); err != nil {
			t.Fatal(err)
		}
	}
	h2c := new(http.Protocols)
	h2c.SetUnencryptedHTTP2(true)
	clients := map[string]*http.Client{"HTTP/1.1": {Transport: &http.Transport{}}, "h2c": {Transport: &http.Transport{Protocols: h2c}}}
	asks := func(client *http.Client, header, value string) string {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+web.Address.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set(header, value)
		resp, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	apply(1)
	for name, client := range clients {
		defer client.CloseIdleConnections()
		for range 20 {
			for _, c := range []struct{ header, value, want string }{
				{"x-canary", "on", "new"}, {"Cookie", "a=1; canary=2", "new"}, {"X-Canary", "off", "old"}, {"Cookie", "canaries=1", "old"},
			} {
				if got := asks(client, c.header, c.value); got != c.want {
					t.Errorf("%s: %s answers %s: %s", name, got, c.header, c.value)
				}
			}
		}
	}
	web.Backends = web.Backends[:2]
	apply(2)
	for name, client := range clients {
		if got := asks(client, "X-Canary", "on"); got != "old" {
			t.Errorf("%s: %q answers where the release is gone", name, got)
		}
	}
}
