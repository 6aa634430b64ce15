package traffic

import (
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
		if had.onward(false, "192.0.2.1", "web").client != "192.0.2.1" || hearsay([]byte("Accept-Encoding")) {
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

func TestHearsayIsWhatApplicationsBelieveOfAProxy(t *testing.T) {
	for _, name := range []string{"X-Forwarded-For", "x-forwarded-proto", "X-FORWARDED-HOST", "X-Forwarded-Port", "X_Forwarded_For",
		"X-Forwarded-Client-Cert", "Forwarded", "forwarded", "X-Real-IP", "x_real_ip"} {
		if !hearsay(name) || !hearsay([]byte(name)) {
			t.Errorf("%s is not", name)
		}
	}
	for _, name := range []string{"", "X", "Host", "X-Forwarded", "X-Forwarded-", "X-Forwarder-For", "Forwarding", "Unforwarded", "X-Real-Ips", "Accept-Encoding"} {
		if hearsay(name) || hearsay([]byte(name)) {
			t.Errorf("%s is", name)
		}
	}
}
