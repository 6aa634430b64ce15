package traffic

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestATableIsReadAsItWasWritten(t *testing.T) {
	want := shopTable(4)
	want.Ports[0].Network, want.Ports[0].Affinity, want.Ports[0].Protocol = TCP, AffinityCookie, ProtocolHTTP
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var have Table
	if err := json.Unmarshal(text, &have); err != nil || !have.same(want) {
		t.Fatalf("%+v, %v", have, err)
	}
	if err := have.Validate(); err != nil {
		t.Error(err)
	}
	for _, word := range []string{`"protocol":"http"`, `"network":"tcp"`, `"affinity":"cookie"`, `"address":"127.0.0.1:8080"`} {
		if !strings.Contains(string(text), word) {
			t.Errorf("%s is not in %s", word, text)
		}
	}
}

func TestAMistakeInATableIsNamed(t *testing.T) {
	other := func(t *Table) *Port {
		p := t.Ports[0]
		p.Address = netip.MustParseAddrPort("[::]:8080")
		p.Backends = append([]Backend(nil), p.Backends...)
		t.Ports = append(t.Ports, p)
		return &t.Ports[1]
	}
	for want, spoil := range map[string]func(*Table){
		"generation 0 is not positive":            func(t *Table) { t.Generation = 0 },
		"no instance":                             func(t *Table) { t.Instance = "" },
		"is there twice":                          func(t *Table) { t.Ports = append(t.Ports, t.Ports[0]) },
		"no address to listen on":                 func(t *Table) { t.Ports[0].Address = netip.AddrPort{} },
		"an IPv4 address is written as an IPv6":   func(t *Table) { t.Ports[0].Address = netip.MustParseAddrPort("[::ffff:10.0.0.1]:80") },
		"protocol http is not one of UDP":         func(t *Table) { t.Ports[0].Network, t.Ports[0].Protocol = UDP, ProtocolHTTP },
		"no version 3 of the PROXY protocol":      func(t *Table) { t.Ports[0].SendProxy = 3 },
		"the PROXY protocol is for TCP":           func(t *Table) { t.Ports[0].Network, t.Ports[0].AcceptProxy = UDP, true },
		"a limit is negative":                     func(t *Table) { t.Ports[0].Park = -1 },
		"the weight of release #7 is negative":    func(t *Table) { t.Ports[0].Weights[7] = -1 },
		"backend web/1 has no identity":           func(t *Table) { t.Ports[0].Backends[0].Started = time.Time{} },
		"backend web/1 has no address":            func(t *Table) { t.Ports[0].Backends[0].Address = netip.AddrPort{} },
		"container c1 is there twice":             func(t *Table) { p := &t.Ports[0]; p.Backends = append(p.Backends, p.Backends[0]) },
		"container c1 is two different replicas":  func(t *Table) { other(t).Backends[0].Release = 9 },
		"drains at one port and not alike at por": func(t *Table) { other(t).Backends[0].Drain = nil },
	} {
		table := shopTable(1)
		spoil(&table)
		if err := table.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	table := shopTable(1)
	other(&table)
	if err := table.Validate(); err != nil {
		t.Errorf("two ports of one replica: %v", err)
	}
}

func TestAWordThatNobodyKnowsIsRefused(t *testing.T) {
	var p Port
	if err := json.Unmarshal([]byte(`{"protocol":"quic"}`), &p); err == nil || !strings.Contains(err.Error(), "auto") {
		t.Errorf("%v does not say what there is", err)
	}
}
