package traffic

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestWhatAReplicaIsToldAboutItsClient(t *testing.T) {
	said := forwarded{client: "198.51.100.7, 10.0.0.1", proto: "https", host: "shop.example"}
	for name, c := range map[string]struct {
		had     forwarded
		trusted bool
		want    forwarded
	}{
		"a client that says nothing is named":           {forwarded{}, false, forwarded{"192.0.2.1", "http", "web"}},
		"a client is not believed about itself":         {said, false, forwarded{"192.0.2.1", "http", "web"}},
		"a trusted proxy is believed, and named itself": {said, true, forwarded{"198.51.100.7, 10.0.0.1, 192.0.2.1", "https", "shop.example"}},
		"a trusted proxy need not say anything":         {forwarded{}, true, forwarded{"192.0.2.1", "http", "web"}},
		"a trusted proxy may say a part":                {forwarded{proto: "https"}, true, forwarded{"192.0.2.1", "https", "web"}},
	} {
		if got := c.had.onward(c.trusted, "192.0.2.1", "web"); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTellingOfAClientThatIsNotTrustedCostsNoMemory(t *testing.T) {
	had := forwarded{client: "198.51.100.7"}
	if n := testing.AllocsPerRun(100, func() {
		if had.onward(false, "192.0.2.1", "web").client != "192.0.2.1" {
			t.Error("the wrong one was named")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAPeerIsNamedAsOtherHostsKnowIt(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "fe80::1%eth0": "fe80::1",
	} {
		if got := peerName(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is named %s, want %s", address, got, want)
		}
	}
}

func TestAReplicaIsNotToldWhatItMustNotBelieve(t *testing.T) {
	for name, c := range map[string]struct{ trusted, anybody bool }{
		"X-Forwarded-For": {true, false}, "X-Forwarded-Proto": {true, false}, "X-Forwarded-Client-Cert": {true, false},
		"Forwarded": {true, false}, "X-Real-Ip": {true, false},
		"X_forwarded_for": {}, "X_real_ip": {}, "Content_length": {}, "Transfer_encoding": {}, "Content-Length_": {true, true},
		"X-Forwarded": {true, true}, "X-Forwarder-For": {true, true}, "X_mine": {true, true}, "Accept-Encoding": {true, true},
	} {
		for trusted, want := range map[bool]bool{true: c.trusted, false: c.anybody} {
			fields := http.Header{name: {"a"}}
			if strip(fields, trusted); (len(fields) == 1) != want {
				t.Errorf("%s of a peer, trusted: %v, passed on: %v", name, trusted, len(fields) == 1)
			}
		}
	}
}
