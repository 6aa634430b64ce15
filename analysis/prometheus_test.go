package analysis

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

// answersOf are answers as Prometheus 2 gives them, and what becomes of each.
var answersOf = map[string]struct {
	status int
	body   string
	value  float64
	none   string
	err    string
}{
	"a vector of one":        {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"shop"},"value":[1795230000.123,"0.0042"]}]}}`, 0.0042, "", ""},
	"a scalar":               {200, `{"status":"success","data":{"resultType":"scalar","result":[1795230000.123,"3"]}}`, 3, "", ""},
	"one that warns":         {200, `{"status":"success","data":{"resultType":"scalar","result":[1795230000.123,"3"]},"warnings":["slow"]}`, 3, "", ""},
	"not a number":           {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1795230000.123,"NaN"]}]}}`, math.NaN(), "", ""},
	"infinite":               {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1795230000.123,"+Inf"]}]}}`, math.Inf(1), "", ""},
	"an empty vector":        {200, `{"status":"success","data":{"resultType":"vector","result":[]}}`, 0, "the query has no result", ""},
	"a vector of two":        {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}]}}`, 0, "", "the query has 2 results where one is needed: put them together, with sum() for one"},
	"a native histogram":     {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}`, 0, "", "its result has no number"},
	"a matrix":               {200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}}`, 0, "", "the query results in a matrix where one number is needed"},
	"a string":               {200, `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`, 0, "", "the query results in a string where one number is needed"},
	"words for a value":      {200, `{"status":"success","data":{"resultType":"scalar","result":[1,"lots"]}}`, 0, "", `its result "lots" is no number`},
	"a number for a value":   {200, `{"status":"success","data":{"resultType":"scalar","result":[1,3]}}`, 0, "", "its result has no number"},
	"a bad query":            {400, `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error"}`, 0, "", `it answered 400: bad_data: invalid parameter "query": 1:5: parse error`},
	"a time that is over":    {503, `{"status":"error","errorType":"timeout","error":"query timed out\nin expression\u001b[31m"}`, 0, "", "it answered 503: timeout: query timed out in expression"},
	"success, but not so":    {500, `{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}`, 0, "", "it answered 500"},
	"another server":         {200, `<html>hello</html>`, 0, "", "it answered 200, and not as Prometheus does"},
	"other JSON":             {200, `{"ok":true}`, 0, "", "it answered 200, and not as Prometheus does"},
	"no body":                {401, ``, 0, "", "it answered 401, and not as Prometheus does"},
	"no data":                {200, `{"status":"success"}`, 0, "", "the query results in a  where one number is needed"},
	"a list for data":        {200, `{"status":"success","data":[]}`, 0, "", "it answered 200, and not as Prometheus does"},
	"an object for a vector": {200, `{"status":"success","data":{"resultType":"vector","result":{}}}`, 0, "", "its vector is none"},
}

func TestWhatBecomesOfAnswers(t *testing.T) {
	for name, c := range answersOf {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/prom/api/v1/query" || r.FormValue("query") != `sum(up{a="b"})` || r.FormValue("timeout") != "5s" {
					t.Errorf("asked %s %v", r.URL, r.Form)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer server.Close()
			a := asking(t, server.URL+"/prom/", "").Ask(t.Context(), "main", `sum(up{a="b"})`)
			switch {
			case c.err != "":
				if a.Err == nil || !strings.HasPrefix(a.Err.Error(), "ask Prometheus main: "+c.err) {
					t.Errorf("%v, want %s", a.Err, c.err)
				}
			case a.Err != nil:
				t.Error(a.Err)
			case a.None != c.none || a.Value != c.value && !(math.IsNaN(a.Value) && math.IsNaN(c.value)):
				t.Errorf("got %+v", a)
			}
		})
	}
}

// asking is a client of one server, main.
func asking(t *testing.T, address, tokenFile string) *Prometheus {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPrometheus([]Server{{Name: "main", URL: u, TokenFile: tokenFile}})
	t.Cleanup(p.Close)
	return p
}

func fails(t *testing.T, a Answer, want string) {
	t.Helper()
	if a.Err == nil || !strings.Contains(a.Err.Error(), want) {
		t.Errorf("%+v, want %s", a, want)
	}
}

func TestOnlyServersOfTheConfigurationAreAsked(t *testing.T) {
	none := NewPrometheus(nil)
	fails(t, none.Ask(t.Context(), "", "up"), "the host's configuration names no Prometheus server")
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	two := NewPrometheus([]Server{{Name: "a", URL: u}, {Name: "b", URL: u}})
	fails(t, two.Ask(t.Context(), "", "up"), "names several Prometheus servers, a, b: say which")
	fails(t, two.Ask(t.Context(), "c", "up"), "names no Prometheus server c: there are a, b")
	fails(t, two.Ask(t.Context(), "b", "up"), "ask Prometheus b: dial tcp 127.0.0.1:1")
}

// TestARedirectIsNotFollowed: the address was vetted, where it sends one to was not.
func TestARedirectIsNotFollowed(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody else was asked") }))
	defer inside.Close()
	server := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	fails(t, asking(t, server.URL, "").Ask(t.Context(), "", "up"), "it answered 307, and not as Prometheus does")
}

func TestATokenIsReadForEveryQuery(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		fmt.Fprint(w, answersOf["a scalar"].body)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	p := asking(t, server.URL, file)
	fails(t, p.Ask(t.Context(), "", "up"), "ask Prometheus main: read token:")
	for _, token := range []string{"one", "two\n"} {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if a := p.Ask(t.Context(), "", "up"); a.Err != nil || a.Value != 3 {
			t.Errorf("%+v", a)
		}
	}
	if len(got) != 2 || got[0] != "Bearer one" || got[1] != "Bearer two" {
		t.Errorf("%q", got)
	}
}

func TestAnAnswerWithoutEndIsNotRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	fails(t, asking(t, server.URL, "").Ask(t.Context(), "", "up"), "its answer has more than 1048576 bytes")
}

func TestAServerThatDoesNotAnswerIsNotWaitedForLongerThanAsked(t *testing.T) {
	let := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-let }))
	defer server.Close()
	defer close(let)
	p := asking(t, server.URL, "")
	p.client.Timeout = 50 * time.Millisecond
	fails(t, p.Ask(t.Context(), "", "up"), "ask Prometheus main: ")
}

// FuzzAnswer: whatever a server says is one number, none, or one line of bounded length.
func FuzzAnswer(f *testing.F) {
	for _, c := range answersOf {
		f.Add([]byte(c.body), c.status)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		a := parseAnswer(body, status)
		if a.Err == nil {
			if status != http.StatusOK {
				t.Errorf("%d is no error", status)
			}
			return
		}
		if text := a.Err.Error(); len(text) > maxMessage+200 || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%d bytes: %q", len(text), text)
		}
		if a.Value != 0 || a.None != "" {
			t.Errorf("an error and an answer: %+v", a)
		}
	})
}
