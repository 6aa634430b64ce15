package compose

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestAnAddressOfTheHostIsListenedAtOnce(t *testing.T) {
	for declared, want := range map[string]string{
		"80":                                     "80>1",
		"80 80":                                  "80>1",
		"80 81":                                  "80>1 81>1",
		"0.0.0.0:80 [::]:80":                     "80>1", // as the edge reads it back
		"[::]:80 0.0.0.0:80":                     "80>1",
		"127.0.0.1:80 [::]:80 0.0.0.0:80":        "80>1",
		"0.0.0.0:80 127.0.0.1:80":                "0.0.0.0:80>1",
		"127.0.0.1:80 80":                        "80>1",
		"127.0.0.1:80 127.0.0.2:80 [::1]:80":     "127.0.0.1:80>1 127.0.0.2:80>1 [::1]:80>1",
		"80 80>2":                                "80 cannot lead to 1 and to 2",
		"127.0.0.1:80 0.0.0.0:80>2":              "80 cannot lead to 1 and to 2",
		"127.0.0.1:80 127.0.0.2:80>2 [::]:80>3":  "127.0.0.1:80>1 127.0.0.2:80>2 [::]:80>3",
		"127.0.0.1:80 127.0.0.1:80>1 [::1]:80>2": "127.0.0.1:80>1 [::1]:80>2",
	} {
		t.Run(declared, func(t *testing.T) {
			var ports []PublishedPort
			for _, text := range strings.Fields(declared) {
				var err error
				if ports, err = withPort(ports, portOf(t, text)); err != nil {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%v, want %s", err, want)
					}
					return
				}
			}
			var got []string
			for _, p := range ports {
				at := fmt.Sprint(p.Host)
				if p.HostIP.IsValid() {
					at = netip.AddrPortFrom(p.HostIP, p.Host).String()
				}
				got = append(got, fmt.Sprintf("%s>%d", at, p.Target))
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

func TestAnIPv4AddressIsOneHoweverItIsWritten(t *testing.T) {
	p, _ := FixedPort(types.ServicePortConfig{HostIP: "::ffff:127.0.0.1", Published: "80", Target: 1})
	if want := netip.AddrFrom4([4]byte{127, 0, 0, 1}); p.HostIP != want {
		t.Errorf("it is %s", p.HostIP)
	}
}

// portOf reads "127.0.0.1:80>2", whose target is 1 where it says none.
func portOf(t *testing.T, text string) PublishedPort {
	t.Helper()
	host, target, found := strings.Cut(text, ">")
	p := PublishedPort{Network: "tcp", Target: 1}
	if found {
		if _, err := fmt.Sscan(target, &p.Target); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := netip.ParseAddrPort(host); err == nil {
		p.HostIP, p.Host = at.Addr().Unmap(), at.Port()
	} else if _, err := fmt.Sscan(host, &p.Host); err != nil {
		t.Fatal(err)
	}
	return p
}
