package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"davit/traffic"
)

// contender is one way from the client to the service.
type contender struct {
	name string
	// address is where the client asks.
	address string
	// programs are what its work is done by; nil for none.
	programs []*program
	// files is how many it may have open for a connection.
	files int
}

const (
	// ownCore is for what is measured, otherCore for client and service.
	ownCore, otherCore = "0", "1"
	startTimeout       = 20 * time.Second
	// usualFiles are two sockets, and one for what else there is; splicing takes two pipes
	// besides. Docker's proxy splices even what is idle, and ends when it may not open the
	// next file.
	usualFiles, splicedFiles = 3, 7
	// answer is what the service says: small, so that it is the hop that costs.
	answer = "thirty-three bytes of a response.\n"
)

// stage is where everything runs.
type stage struct {
	dir     string
	davit   string
	service string // address of the service
	ports   *ports
}

// ports are free ones of loopback.
type ports struct{ taken []net.Listener }

func (p *ports) next() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	p.taken = append(p.taken, l) // kept, so that the next one is another
	return l.Addr().String(), nil
}

func (p *ports) free() {
	for _, l := range p.taken {
		l.Close()
	}
	p.taken = nil
}

func (s *stage) file(name, content string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(content), 0o644)
}

// serve starts the service that all of them ask.
func (s *stage) serve(ctx context.Context) (*program, error) {
	config, err := s.file("service.conf", fmt.Sprintf(`
worker_processes 1; pid %[1]s/service.pid; error_log %[1]s/service.log; daemon off;
events { worker_connections 9000; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server { listen %[2]s; location / { return 200 "%[3]s"; } } }
`, s.dir, s.service, strings.TrimSpace(answer)))
	if err != nil {
		return nil, err
	}
	return s.start(ctx, otherCore, nil, "nginx", "-e", filepath.Join(s.dir, "service.log"), "-c", config)
}

// maker starts one contender at address.
type maker struct {
	name  string
	files int
	make  func(ctx context.Context, s *stage, address string) ([]*program, error)
}

func makers() []maker {
	return []maker{
		{"docker-proxy", splicedFiles, dockerProxy},
		{"davit TCP", usualFiles, func(ctx context.Context, s *stage, a string) ([]*program, error) {
			return edge(ctx, s, a, traffic.ProtocolTCP)
		}},
		{"HAProxy TCP", usualFiles, func(ctx context.Context, s *stage, a string) ([]*program, error) { return haproxy(ctx, s, a, "tcp") }},
		{"davit HTTP", usualFiles, func(ctx context.Context, s *stage, a string) ([]*program, error) {
			return edge(ctx, s, a, traffic.ProtocolHTTP)
		}},
		{"davit auto", usualFiles, func(ctx context.Context, s *stage, a string) ([]*program, error) {
			return edge(ctx, s, a, traffic.ProtocolAuto)
		}},
		{"HAProxy HTTP", usualFiles, func(ctx context.Context, s *stage, a string) ([]*program, error) { return haproxy(ctx, s, a, "http") }},
		{"nginx", usualFiles, nginx},
		{"Caddy", usualFiles, caddy},
	}
}

func dockerProxy(ctx context.Context, s *stage, address string) ([]*program, error) {
	here, there := netip.MustParseAddrPort(address), netip.MustParseAddrPort(s.service)
	// It reports on file descriptor 3, as its parent wants it.
	report, err := os.Create(filepath.Join(s.dir, "docker-proxy.report"))
	if err != nil {
		return nil, err
	}
	defer report.Close()
	p, err := s.start(ctx, ownCore, []*os.File{report}, "docker-proxy", "-proto", "tcp", "-host-ip", here.Addr().String(), "-host-port", fmt.Sprint(here.Port()),
		"-container-ip", there.Addr().String(), "-container-port", fmt.Sprint(there.Port()))
	return []*program{p}, err
}

func haproxy(ctx context.Context, s *stage, address, mode string) ([]*program, error) {
	config, err := s.file("haproxy-"+mode+".cfg", fmt.Sprintf(`
global
  nbthread 1
  maxconn 8000
defaults
  mode %s
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend in
  bind %s
  default_backend out
backend out
  server one %s
`, mode, address, s.service))
	if err != nil {
		return nil, err
	}
	p, err := s.start(ctx, ownCore, nil, "haproxy", "-f", config, "-db")
	return []*program{p}, err
}

func nginx(ctx context.Context, s *stage, address string) ([]*program, error) {
	config, err := s.file("nginx.conf", fmt.Sprintf(`
worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log; daemon off;
events { worker_connections 9000; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path %[1]s/f; proxy_temp_path %[1]s/g; fastcgi_temp_path %[1]s/h; uwsgi_temp_path %[1]s/i; scgi_temp_path %[1]s/j;
  upstream out { server %[3]s; keepalive 256; keepalive_requests 100000000; }
  server { listen %[2]s; location / { proxy_pass http://out; proxy_http_version 1.1; proxy_set_header Connection ""; } } }
`, s.dir, address, s.service))
	if err != nil {
		return nil, err
	}
	p, err := s.start(ctx, ownCore, nil, "nginx", "-e", filepath.Join(s.dir, "nginx.log"), "-c", config)
	return []*program{p}, err
}

func caddy(ctx context.Context, s *stage, address string) ([]*program, error) {
	config, err := s.file("Caddyfile", fmt.Sprintf("{\n admin off\n auto_https off\n}\nhttp://%s {\n reverse_proxy %s\n}\n", address, s.service))
	if err != nil {
		return nil, err
	}
	p, err := s.start(ctx, ownCore, nil, "caddy", "run", "--adapter", "caddyfile", "--config", config)
	return []*program{p}, err
}

// edge is davit's own, told what to serve as the agent tells it. It looks at the engine
// of this machine, which knows nothing of the service: the table has to vouch for it.
func edge(ctx context.Context, s *stage, address string, protocol traffic.Protocol) ([]*program, error) {
	data := filepath.Join(s.dir, "edge-"+protocol.String())
	p, err := s.start(ctx, ownCore, nil, s.davit, "edge", "--data", data)
	if err != nil {
		return nil, err
	}
	table := traffic.Table{Instance: "bench", Ports: []traffic.Port{{
		Address: netip.MustParseAddrPort(address), Stack: "bench", Service: "web", Protocol: protocol, MaxConnections: 8_000,
		Backends: []traffic.Backend{{Container: "one", Started: time.Unix(1, 0), Address: netip.MustParseAddrPort(s.service), Replica: "web/1", Release: 1}},
	}}}
	client := traffic.NewClient(traffic.Socket(data))
	defer client.Close()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		table.Generation++
		table.Ports[0].Backends[0].Seen = time.Now()
		err := serves(ctx, client, table)
		if err == nil {
			return []*program{p}, nil
		}
		if time.Now().After(deadline) || p.alive() != nil {
			return nil, errors.Join(err, p.alive(), p.stop())
		}
	}
}

// serves makes the edge serve the table, and says what keeps it from that.
func serves(ctx context.Context, client *traffic.Client, table traffic.Table) error {
	ack, err := client.Apply(ctx, table)
	if err != nil {
		return err
	}
	for port, why := range ack.Closed {
		return fmt.Errorf("%s: %s", port, why)
	}
	state, err := client.State(ctx)
	if err != nil {
		return err
	}
	for _, r := range state.Replicas {
		if !r.Confirmed {
			return fmt.Errorf("replica %s is not confirmed", r.Replica)
		}
	}
	return nil
}
