// Command app is what the containers of the engine's tests run. It behaves as its
// environment says and answers its own health check over an abstract socket,
// which works without any network.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const socket = "@app"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return serve()
	}
	switch args[0] {
	case "check":
		return check()
	case "resolve":
		return resolve(args[1])
	case "stat":
		return stat(args[1])
	case "hook":
		return hook(os.Getenv("HOOK"))
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// hook does what a command that is run in a container may do: end well, fail with
// the code in how, or never end.
func hook(how string) error {
	fmt.Println("as told:", how)
	if how == "never" {
		time.Sleep(time.Hour)
	}
	code, err := strconv.Atoi(how)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "sorry")
	os.Exit(code)
	return nil
}

func serve() error {
	began := time.Now()
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if log := os.Getenv("LOG"); log != "" {
		fmt.Println(strings.ReplaceAll(log, "|", "\n"))
	}
	go answer(l, began)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	var end <-chan time.Time
	if os.Getenv("EXITS") != "" {
		end = time.After(span("EXIT_AFTER"))
	}
	for {
		select {
		case <-end:
			code, err := strconv.Atoi(os.Getenv("EXIT_CODE"))
			if err != nil {
				return err
			}
			os.Exit(code)
		case <-stop:
			if os.Getenv("DEAF") == "" {
				return nil
			}
		}
	}
}

func answer(l net.Listener, began time.Time) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		verdict := "healthy"
		if os.Getenv("SICK") != "" || time.Since(began) < span("HEALTHY_AFTER") {
			verdict = "not yet"
		}
		fmt.Fprintln(c, verdict)
		c.Close()
	}
}

func check() error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	fmt.Print("verdict: ", line)
	if strings.TrimSpace(line) != "healthy" {
		return fmt.Errorf("not healthy")
	}
	return nil
}

// resolve prints the addresses of a name, or "nothing".
func resolve(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		if e, ok := err.(*net.DNSError); ok && e.IsNotFound {
			fmt.Println("nothing")
			return nil
		}
		return err
	}
	slices.Sort(addresses)
	fmt.Println(strings.Join(addresses, " "))
	return nil
}

// stat prints a file's mode, owner and content.
func stat(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	fmt.Printf("%o %d:%d %s\n", info.Mode().Perm(), owner.Uid, owner.Gid, text)
	return nil
}

func span(name string) time.Duration {
	d, err := time.ParseDuration(os.Getenv(name))
	if err != nil {
		return 0
	}
	return d
}
