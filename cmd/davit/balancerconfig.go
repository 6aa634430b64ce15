package main

import (
	"context"
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"

	"davit/compose"
	"davit/traffic"
)

// BalancerConfig is a load balancer of this host that serves ports in the place of
// the edge. Commands come from here only, never from a repository.
type BalancerConfig struct {
	// Name is what via of a port may say.
	Name string
	// HAProxy and Nginx are how it is driven: one of them is set.
	HAProxy *traffic.HAProxy
	Nginx   *traffic.Nginx
}

// Where Debian has them.
const (
	haproxySocket = "/run/haproxy/admin.sock"
	nginxFile     = "/etc/nginx/conf.d/davit-upstreams.conf"
	nginxPID      = "/run/nginx.pid"
)

// kind is the program's name.
func (b BalancerConfig) kind() string {
	if b.HAProxy != nil {
		return "haproxy"
	}
	return "nginx"
}

// place is the file that two balancers cannot share.
func (b BalancerConfig) place() string {
	if b.HAProxy != nil {
		return b.HAProxy.Socket
	}
	return b.Nginx.File
}

// steered is the load balancer with what it was told last.
func (b BalancerConfig) steered(data string) *traffic.Steered {
	if b.HAProxy != nil {
		return traffic.NewSteered(data, b.Name, b.kind(), b.HAProxy)
	}
	return traffic.NewSteered(data, b.Name, b.kind(), b.Nginx)
}

// balancer is the load balancer of that name.
func (o Config) balancer(name string) (b BalancerConfig, found bool) {
	i := slices.IndexFunc(o.Balancers, func(b BalancerConfig) bool { return b.Name == name })
	if i < 0 {
		return b, false
	}
	return o.Balancers[i], true
}

// check finds out whether davit can steer it, and returns the backends that its own
// configuration has, nil where it needs none.
func (b BalancerConfig) check(ctx context.Context) (backends []string, err error) {
	if b.HAProxy != nil {
		return b.HAProxy.Check(ctx)
	}
	return nil, b.Nginx.Check(ctx)
}

// checkBalancers finds two that are one.
func (o Config) checkBalancers() (mistakes []error) {
	for i, b := range o.Balancers {
		for _, other := range o.Balancers[:i] {
			if b.place() == other.place() {
				mistakes = append(mistakes, fmt.Errorf("balancers.%s: %s is that of %s, too", b.Name, b.place(), other.Name))
			}
		}
	}
	return mistakes
}

// balancers reads the mapping from names to load balancers.
func (f *file) balancers(n *yaml.Node) {
	f.mapping(n, "balancers", func(key, value *yaml.Node) {
		name := key.Value
		if !compose.BalancerName.MatchString(name) || slices.Contains([]string{"auto", "edge", "docker"}, name) {
			f.wrong(key, "balancers: %q is no name of a load balancer: it has up to 40 lower-case letters, digits, dashes and underscores, begins with a letter or digit, and is not auto, edge or docker", name)
			return
		}
		if b, ok := f.balancer(name, value); ok {
			f.layer.config.Balancers = append(f.layer.config.Balancers, b)
		}
	})
}

// balancer reads one of them.
func (f *file) balancer(name string, n *yaml.Node) (b BalancerConfig, ok bool) {
	b.Name = name
	where := "balancers." + name
	f.mapping(n, where, func(key, value *yaml.Node) {
		switch key.Value {
		case "haproxy":
			b.HAProxy = f.haproxy(where+".haproxy", value)
		case "nginx":
			b.Nginx = f.nginx(where+".nginx", value)
		default:
			f.wrong(key, "unknown key %q in %s: there are haproxy and nginx", key.Value, where)
		}
	})
	if (b.HAProxy == nil) == (b.Nginx == nil) {
		f.wrong(n, "%s: say either haproxy or nginx", where)
		return b, false
	}
	return b, true
}

func (f *file) haproxy(where string, n *yaml.Node) *traffic.HAProxy {
	h := &traffic.HAProxy{Socket: haproxySocket}
	f.mapping(n, where, func(key, value *yaml.Node) {
		switch key.Value {
		case "socket":
			f.pathAt(&h.Socket, where+".socket", value)
		default:
			f.wrong(key, "unknown key %q in %s: there is socket", key.Value, where)
		}
	})
	return h
}

func (f *file) nginx(where string, n *yaml.Node) *traffic.Nginx {
	x := &traffic.Nginx{File: nginxFile, PID: nginxPID}
	f.mapping(n, where, func(key, value *yaml.Node) {
		switch key.Value {
		case "file":
			f.pathAt(&x.File, where+".file", value)
		case "pid":
			f.pathAt(&x.PID, where+".pid", value)
		case "test":
			f.command(&x.Test, where+".test", value)
		case "reload":
			f.command(&x.Reload, where+".reload", value)
		default:
			f.wrong(key, "unknown key %q in %s: there are file, pid, test and reload", key.Value, where)
		}
	})
	return x
}

// pathAt reads the name of a file.
func (f *file) pathAt(into *string, where string, n *yaml.Node) {
	text, ok := f.scalar(where, n)
	if ok && text == "" {
		f.wrong(n, "%s: must name a file", where)
	}
	*into = f.resolve(true, text)
}

// command reads a program and its arguments.
func (f *file) command(into *[]string, where string, n *yaml.Node) {
	var words []string
	if err := n.Decode(&words); err != nil || n.Kind != yaml.SequenceNode || len(words) == 0 || words[0] == "" {
		f.wrong(n, "%s: must be a list of a program and its arguments, such as [nginx, -t, -q]", where)
		return
	}
	*into = words
}
