package notify

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"davit/reconcile"
)

func TestMistakesInEndpointsAreReportedTogetherAndWithoutAddresses(t *testing.T) {
	_, err := New(Options{Endpoints: []Endpoint{
		{Name: "a", URL: "ftp://host/secret-token"},
		{Name: "b", URL: "http://bad host/secret-token"},
		{URL: ""},
		{Name: "d", URL: "https://ops.example", Events: []string{"ReleaseFaild"}},
		{Name: "e", URL: "https://ops.example"},
		{Name: "e", URL: "https://chat.example"},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"endpoint a:", "endpoint b:", "endpoint 3:", `endpoint d: there is no event "ReleaseFaild"`, "endpoint e: the name is taken"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret-token") {
		t.Errorf("the error shows an address: %v", err)
	}
}

func TestAnEndpointIsToldWhatItAsksFor(t *testing.T) {
	outbox := &memory{}
	n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{
		{URL: "https://default.example"},
		{Name: "all", URL: "https://all.example", Events: []string{Everything}},
		{Name: "some", URL: "https://some.example", Events: []string{"NewRevision", "Held"}},
	}})
	for _, kind := range []reconcile.EventKind{reconcile.EventReleaseSucceeded, reconcile.EventHeld, reconcile.EventNewRevision, reconcile.EventStepDone} {
		n.Notify(t.Context(), reconcile.Event{Kind: kind})
	}
	told := map[string][]string{}
	for _, d := range outbox.list {
		told[d.Target] = append(told[d.Target], string(d.Event.Kind))
	}
	for target, want := range map[string][]string{
		"default.example": {"ReleaseSucceeded", "Held"},
		"all":             {"ReleaseSucceeded", "Held", "NewRevision", "StepDone"},
		"some":            {"Held", "NewRevision"},
	} {
		if !slices.Equal(told[target], want) {
			t.Errorf("%s is told %v, want %v", target, told[target], want)
		}
	}
}

func TestRepetitionsShareAKeyAndNothingElseDoes(t *testing.T) {
	e := failure("shop")
	same := e
	same.ID, same.At = 813, e.At.Add(time.Minute)
	if key(e) != key(same) {
		t.Error("a repetition has another key")
	}
	for name, change := range map[string]func(*reconcile.Event){
		"kind":    func(e *reconcile.Event) { e.Kind = reconcile.EventHeld },
		"stack":   func(e *reconcile.Event) { e.Stack = "blog" },
		"service": func(e *reconcile.Event) { e.Service = "web" },
		"release": func(e *reconcile.Event) { e.Seq = 42 },
		"words":   func(e *reconcile.Event) { e.Message = "other" },
	} {
		other := e
		change(&other)
		if key(e) == key(other) {
			t.Errorf("another %s has the same key", name)
		}
	}
	n := newNotifier(t, Options{Endpoints: []Endpoint{{URL: "https://a.example"}}})
	first, second := n.Deliveries(e)[0], n.Deliveries(same)[0]
	if first.ID == second.ID || first.Key != second.Key || first.Window != defaultWindow {
		t.Errorf("%+v and %+v", first, second)
	}
}

// A kind that is added to the vocabulary must be one that an endpoint can name.
func TestEveryKindOfEventCanBeAskedFor(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../reconcile/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "EventKind" {
			return true
		}
		kind, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || !slices.Contains(Kinds(), kind) {
			t.Errorf("%s is not among Kinds", kind)
		}
		found++
		return true
	})
	if found != len(Kinds()) {
		t.Errorf("%d kinds are declared, %d can be named", found, len(Kinds()))
	}
	if _, err := newSelection(DefaultEvents()); err != nil {
		t.Error(err)
	}
}

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", maxMessage), "x" + strings.Repeat("日本", maxMessage)} {
		cut := shorten(text)
		if len(cut) > maxMessage+len("…") || !utf8.ValidString(cut) || !strings.HasSuffix(cut, "…") {
			t.Errorf("cut to %d bytes, valid %v", len(cut), utf8.ValidString(cut))
		}
	}
	if shorten("short") != "short" {
		t.Error("a short message was changed")
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "120", "-5", "99999999999999999999", "9223372036854775807", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"} {
		f.Add(seed)
	}
	now := time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(http.Header{"Retry-After": {value}}, now); d < 0 || d > longest {
			t.Errorf("%q means %v", value, d)
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add("1", []byte("{}"), "sha256=00")
	f.Add("", []byte(nil), "")
	f.Fuzz(func(t *testing.T, stamp string, body []byte, signature string) {
		secret := []byte("secret")
		right := Sign(secret, stamp, body)
		if err := Verify(secret, stamp, body, right); err != nil {
			t.Error(err)
		}
		if Verify(secret, stamp, body, signature) == nil && !strings.EqualFold(signature, right) {
			t.Errorf("accepted %q", signature)
		}
	})
}
