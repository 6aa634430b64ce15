package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHTTP1 puts the same client and the same server at both ends of nothing, of
// the edge, and of net/http's reverse proxy. The CPU of all three parties is in each
// number: what the hop costs is what is above direct.
func BenchmarkHTTP1(b *testing.B) {
	backend := benchServer(b)
	b.Run("direct", func(b *testing.B) { benchClients(b, backend) })
	b.Run("edge", func(b *testing.B) { benchClients(b, benchEdge(b, backend)) })
	b.Run("ReverseProxy", func(b *testing.B) {
		to, err := url.Parse("http://" + backend)
		if err != nil {
			b.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(to)
		proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
		listener := benchListener(b)
		server := &http.Server{Handler: proxy}
		go server.Serve(listener) // it ends with the benchmark
		b.Cleanup(func() { server.Close() })
		benchClients(b, listener.Addr().String())
	})
}

const benchAnswer = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 15:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 33\r\n\r\n0123456789abcdef0123456789abcdef\n"

// benchServer answers every head with the same, at the least cost.
func benchServer(b *testing.B) string {
	listener := benchListener(b)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				p := make([]byte, 4096)
				for {
					if n, err := conn.Read(p); err != nil || !strings.HasSuffix(string(p[:n]), "\r\n\r\n") {
						return
					}
					if _, err := io.WriteString(conn, benchAnswer); err != nil {
						return
					}
				}
			})
		}
	})
	return listener.Addr().String()
}

func benchListener(b *testing.B) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	return listener
}

// benchEdge is a port with one replica.
func benchEdge(b *testing.B, backend string) string {
	listener := benchListener(b)
	f := newFront(time.Now, slog.New(slog.DiscardHandler), nil)
	address, err := net.ResolveTCPAddr("tcp", backend)
	if err != nil {
		b.Fatal(err)
	}
	r := newReplica(httpPort, Backend{Container: "a", Started: time.Unix(1, 0), Replica: "web/1"})
	r.confirmed.Store(true)
	port := httpPort
	f.port.Store(&port)
	f.pool.set(port, []member{{replica: r, address: ends(address)}})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f.serve(context.Background(), newClient(conn, &port))
			}()
		}
	}()
	return listener.Addr().String()
}

// benchClients asks over 32 connections.
func benchClients(b *testing.B, address string) {
	const clients = 32
	request := fmt.Sprintf("GET /index.html HTTP/1.1\r\nHost: %s\r\nUser-Agent: wrk\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n", address)
	var asking sync.WaitGroup
	before := cpu(b)
	b.ResetTimer()
	for i := range clients {
		asking.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for range b.N/clients + min(1, max(0, b.N%clients-i)) {
				if err := benchAsk(conn, in, request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	asking.Wait()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1000, "cpu-µs/op")
}

// benchAsk reads the answer as wrk would: to the end of its head, and the body.
func benchAsk(conn net.Conn, in *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			_, err := in.Discard(33)
			return err
		}
	}
}

func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
