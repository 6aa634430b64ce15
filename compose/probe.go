package compose

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Probes is x-davit.probes: how davit itself finds out how a service's containers are,
// whatever is or is not in their image. Nil is none.
type Probes struct {
	// Startup suspends Readiness until it has succeeded once; a container whose startup
	// probe fails has failed.
	Startup *Probe
	// Readiness says whether a container can serve.
	Readiness *Probe
	// Liveness says whether a container in service has to be replaced. No gate asks it.
	Liveness *Probe `json:",omitempty"`
}

// Declared reports whether there is any that a gate asks.
func (p Probes) Declared() bool { return p.Startup != nil || p.Readiness != nil }

// Lasting reports whether there is any that is asked for as long as a container serves.
func (p Probes) Lasting() bool { return p.Readiness != nil || p.Liveness != nil }

// Dialled reports whether any of them needs to reach the container over a network.
func (p Probes) Dialled() bool {
	return slices.ContainsFunc([]*Probe{p.Startup, p.Readiness, p.Liveness}, func(one *Probe) bool { return one != nil && len(one.Exec) == 0 })
}

// Probe is one way of looking at a container, again and again. Exactly one of HTTP,
// TCP, GRPC and Exec says which.
type Probe struct {
	HTTP *HTTPProbe
	// TCP is a port that has to accept a connection.
	TCP  uint16
	GRPC *GRPCProbe
	// Exec is a command in the container that has to end with code 0.
	Exec []string

	// Interval is from the beginning of one look to that of the next. Default 10 s.
	Interval time.Duration
	// Timeout is how long one look may take. Default 1 s.
	Timeout time.Duration
	// InitialDelay is from the container's start to the first look. Default 0.
	InitialDelay time.Duration
	// Success and Failure are the looks in a row that change the verdict. Default 1
	// and 3.
	Success, Failure int
}

// HTTPProbe is a GET request over HTTP/1.1. It follows no redirect.
type HTTPProbe struct {
	Port uint16
	// Path may have a query. Default "/".
	Path string
	// Host is the Host header; "" for the container's address. Where the request goes
	// does not depend on it.
	Host    string
	Headers map[string]string
	// Low and High are the first and the last good status. Default 200 and 399.
	Low, High int
}

// GRPCProbe is a call of grpc.health.v1.Health/Check over HTTP/2 without TLS.
type GRPCProbe struct {
	Port uint16
	// Service is whose health is asked for; "" for that of the whole server.
	Service string
}

// String names the probe as plans print it, without what may be secret in it.
func (p *Probe) String() string {
	switch {
	case p.HTTP != nil:
		path, _, _ := strings.Cut(p.HTTP.Path, "?")
		return fmt.Sprintf("http :%d%s", p.HTTP.Port, path)
	case p.GRPC != nil && p.GRPC.Service != "":
		return fmt.Sprintf("grpc :%d %s", p.GRPC.Port, p.GRPC.Service)
	case p.GRPC != nil:
		return fmt.Sprintf("grpc :%d", p.GRPC.Port)
	case len(p.Exec) > 1:
		return "exec " + p.Exec[0] + " …"
	case len(p.Exec) == 1:
		return "exec " + p.Exec[0]
	}
	return fmt.Sprintf("tcp :%d", p.TCP)
}

// Limits of what a probe can say.
const (
	// minInterval keeps a probe from becoming a load.
	minInterval = 100 * time.Millisecond
	maxLooks    = 1000
)

// probes accepts the mapping from the kinds of probe to the probes.
func probes(into *Probes) setter {
	return func(v any) []keyError {
		return decodeBlock(v, nil, map[string]setter{
			"startup": probe(&into.Startup), "readiness": probe(&into.Readiness), "liveness": probe(&into.Liveness),
		})
	}
}

// probe accepts one probe. What is missing only shows once all files are merged.
func probe(into **Probe) setter {
	return func(v any) []keyError {
		if v == nil {
			return nil
		}
		p := Probe{Interval: 10 * time.Second, Timeout: time.Second, Success: 1, Failure: 3}
		*into = &p
		return decodeBlock(v, nil, map[string]setter{
			"http":          httpProbe(&p.HTTP),
			"tcp":           portNumber(&p.TCP),
			"grpc":          grpcProbe(&p.GRPC),
			"exec":          commandWords(&p.Exec),
			"interval":      duration(&p.Interval, minInterval),
			"timeout":       duration(&p.Timeout, time.Millisecond),
			"initial_delay": duration(&p.InitialDelay, 0),
			"success":       looks(&p.Success),
			"failure":       looks(&p.Failure),
		})
	}
}

func httpProbe(into **HTTPProbe) setter {
	return func(v any) []keyError {
		p := HTTPProbe{Path: "/", Low: 200, High: 399}
		*into = &p
		return decodeBlock(v, nil, map[string]setter{
			"port": portNumber(&p.Port), "path": requestPath(&p.Path), "host": headerText(&p.Host),
			"headers": headers(&p.Headers), "status": statusRange(&p.Low, &p.High),
		})
	}
}

func grpcProbe(into **GRPCProbe) setter {
	return func(v any) []keyError {
		var p GRPCProbe
		*into = &p
		return decodeBlock(v, nil, map[string]setter{"port": portNumber(&p.Port), "service": headerText(&p.Service)})
	}
}

func portNumber(into *uint16) setter {
	return func(v any) []keyError {
		n, err := strconv.ParseUint(fmt.Sprint(v), 10, 16)
		if err != nil || n == 0 {
			return wrong("must be a port of the container, from 1 to 65535, not %q", fmt.Sprint(v))
		}
		*into = uint16(n)
		return nil
	}
}

func looks(into *int) setter {
	return func(v any) []keyError {
		n, err := strconv.Atoi(fmt.Sprint(v))
		if err != nil || n < 1 || n > maxLooks {
			return wrong("must be a number of looks from 1 to %d, not %q", maxLooks, fmt.Sprint(v))
		}
		*into = n
		return nil
	}
}

// commandWords accepts a command, word by word: there may be no shell to split a line.
func commandWords(into *[]string) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok || len(list) == 0 || list[0] == "" {
			return wrong("must be a list of a command and its arguments, such as [/app, ping]")
		}
		var out []string
		for i, entry := range list {
			word, ok := entry.(string)
			if !ok || strings.ContainsRune(word, 0) {
				return []keyError{{fmt.Sprintf("[%d]", i), fmt.Errorf("must be a string, not %q", fmt.Sprint(entry))}}
			}
			out = append(out, word)
		}
		*into = out
		return nil
	}
}

func requestPath(into *string) setter {
	return func(v any) []keyError {
		path, ok := v.(string)
		if !ok || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " #") || hasControl(path) {
			return wrong("must be a path such as /ready, not %q", fmt.Sprint(v))
		}
		if _, err := url.ParseRequestURI(path); err != nil {
			return wrong("%q is no path of a request", path)
		}
		*into = path
		return nil
	}
}

// headerText accepts what can stand in a header.
func headerText(into *string) setter {
	return func(v any) []keyError {
		s, ok := v.(string)
		if !ok || hasControl(s) || strings.Contains(s, " ") {
			return wrong("must be a name, not %q", fmt.Sprint(v))
		}
		*into = s
		return nil
	}
}

func headers(into *map[string]string) setter {
	return func(v any) []keyError {
		block, ok := v.(map[string]any)
		if !ok {
			return wrong("must be a mapping from names to values")
		}
		var errs []keyError
		*into = map[string]string{}
		for _, name := range keys(block) {
			value := fmt.Sprint(block[name])
			switch {
			case !headerName(name):
				errs = append(errs, keyError{name, errors.New("is no name of a header")})
			case strings.EqualFold(name, "host"):
				errs = append(errs, keyError{name, errors.New("is said by http.host")})
			case strings.EqualFold(name, "content-length"), strings.EqualFold(name, "transfer-encoding"):
				errs = append(errs, keyError{name, errors.New("a probe has no body")})
			case hasControl(value) || block[name] == nil:
				errs = append(errs, keyError{name, errors.New("must have a value of one line")}) // not shown: it may be a password
			}
			(*into)[name] = value
		}
		return errs
	}
}

// headerName is RFC 9110's token.
func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// statusRange accepts 204 and "200-299".
func statusRange(low, high *int) setter {
	return func(v any) []keyError {
		first, last, ranged := strings.Cut(fmt.Sprint(v), "-")
		if !ranged {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA != nil || errB != nil || a < 200 || b > 599 || a > b {
			return wrong("must be a status such as 204 or a range such as 200-299, from 200 to 599, not %q", fmt.Sprint(v))
		}
		*low, *high = a, b
		return nil
	}
}

// mistakes are what is wrong with the probes of a service once all files are merged.
func (p Probes) mistakes(c types.ServiceConfig) []keyError {
	var errs []keyError
	for _, named := range []struct {
		key   string
		probe *Probe
	}{{"startup", p.Startup}, {"readiness", p.Readiness}, {"liveness", p.Liveness}} {
		if named.probe == nil {
			continue
		}
		if err := named.probe.mistake(c.NetworkMode); err != nil {
			errs = append(errs, keyError{extension + ".probes." + named.key, err})
		}
	}
	if p.Liveness != nil && p.Liveness.Success != 1 {
		errs = append(errs, keyError{extension + ".probes.liveness.success", errors.New("must be 1: a container that lives is not brought back to life")})
	}
	return errs
}

func (p *Probe) mistake(networkMode string) error {
	kinds := slices.DeleteFunc([]bool{p.HTTP != nil, p.TCP != 0, p.GRPC != nil, len(p.Exec) > 0}, func(said bool) bool { return !said })
	switch {
	case len(kinds) != 1:
		return errors.New("needs exactly one of http, tcp, grpc and exec")
	case p.HTTP != nil && p.HTTP.Port == 0, p.GRPC != nil && p.GRPC.Port == 0:
		return errors.New("needs the port of the container")
	case len(p.Exec) == 0 && networkMode != "" && networkMode != "host" && networkMode != "bridge":
		return fmt.Errorf("davit has no address for a container with network_mode %s: only exec can probe it", networkMode)
	}
	return nil
}

// probesOfOneShots refuses probes of services whose end is what others wait for.
func (l *loading) probesOfOneShots(p *Project) {
	for _, s := range p.Services {
		if s.OneShot && (s.Settings.Probes.Declared() || s.Settings.Probes.Lasting()) {
			l.problem("services."+s.Name+"."+extension+".probes",
				errors.New("others wait for the end of this service, and what ends is not probed"))
		}
	}
}
