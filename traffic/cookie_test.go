package traffic

import (
	"net/http"
	"strings"
	"testing"
)

var (
	testSecret  = []byte("0123456789abcdef0123456789abcdef")
	testSession = session{release: 12, container: "3f9a5c"}
)

// pair is the name=value of a Set-Cookie field.
func pair(t *testing.T, set string) string {
	t.Helper()
	c, err := http.ParseSetCookie(set)
	if err != nil {
		t.Fatal(err)
	}
	return c.Name + "=" + c.Value
}

func TestACookieIsReadByAnEdgeStartedLater(t *testing.T) {
	sent := pair(t, newCookie(testSecret, "shop", "web").set(testSession, false))
	later := newCookie(testSecret, "shop", "web")
	for name, field := range map[string]string{
		"alone":                sent,
		"among others":         "theme=dark; " + sent + "; lang=de",
		"without space":        "theme=dark;" + sent,
		"behind a forged one":  later.name + "=13.other.AAAA; " + sent,
		"behind a broken pair": "; =; x; " + sent,
	} {
		if got := later.read(field); got != testSession {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

func TestACookieThatThisServiceDidNotSignSaysNothing(t *testing.T) {
	c := newCookie(testSecret, "shop", "web")
	good := pair(t, c.set(testSession, false))
	value := strings.TrimPrefix(good, c.name+"=")
	for name, field := range map[string]string{
		"none":                  "",
		"another name":          "x" + good,
		"another release":       c.name + "=13" + strings.TrimPrefix(value, "12"),
		"another container":     strings.Replace(good, "3f9a5c", "3f9a5d", 1),
		"no signature":          c.name + "=12.3f9a5c",
		"an empty signature":    c.name + "=12.3f9a5c.",
		"half a signature":      good[:len(good)-11],
		"a longer signature":    good + "AAAA",
		"no value":              c.name + "=",
		"another spelling":      good[:len(good)-1] + string(good[len(good)-1]+1),
		"no base64":             c.name + "=12.3f9a5c.!!!!!!!!!!!!!!!!!!!!!!",
		"another service's":     pair(t, newCookie(testSecret, "shop", "api").set(testSession, false)),
		"renamed, of another":   c.name + "=" + strings.SplitN(pair(t, newCookie(testSecret, "shop", "api").set(testSession, false)), "=", 2)[1],
		"another edge's secret": pair(t, newCookie([]byte("fedcba9876543210fedcba9876543210"), "shop", "web").set(testSession, false)),
		"another stack's":       pair(t, newCookie(testSecret, "sho", "pweb").set(testSession, false)),
	} {
		if got := c.read(field); got != (session{}) {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

func TestACookieIsForTheWholeSiteAndNotForScripts(t *testing.T) {
	for _, secure := range []bool{false, true} {
		c, err := http.ParseSetCookie(newCookie(testSecret, "shop", "web").set(testSession, secure))
		if err != nil || c.Path != "/" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure || c.MaxAge != 0 {
			t.Errorf("secure %v: %+v, %v", secure, c, err)
		}
	}
}

func FuzzACookieIsOnlyBelievedAsItWasSigned(f *testing.F) {
	c := newCookie(testSecret, "shop", "web")
	good := strings.SplitN(c.set(testSession, false), ";", 2)[0]
	for _, seed := range []string{"", good, "a=b; " + good, c.name + "=1.x.y", good + good, ";;;=;=;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		if got := c.read(field); got != (session{}) && (got != testSession || !strings.Contains(field, good)) {
			t.Fatalf("%q was read as %+v", field, got)
		}
	})
}
