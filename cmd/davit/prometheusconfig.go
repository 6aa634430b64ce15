package main

import (
	"net/url"

	"gopkg.in/yaml.v3"

	"davit/analysis"
	"davit/compose"
)

// prometheus reads the mapping from names to servers. Addresses come from here only: a
// repository that could give one would have the agent knock at any door that this host
// reaches, and carry the answer out.
func (f *file) prometheus(n *yaml.Node) {
	f.mapping(n, "prometheus", func(key, value *yaml.Node) {
		name := key.Value
		if !compose.PrometheusName.MatchString(name) {
			f.wrong(key, "prometheus: %q is no name of a server: it has up to 40 lower-case letters, digits, dashes and underscores, and begins with a letter or digit", name)
			return
		}
		if s, ok := f.prometheusServer(name, value); ok {
			f.layer.config.Prometheus = append(f.layer.config.Prometheus, s)
		}
	})
}

func (f *file) prometheusServer(name string, n *yaml.Node) (s analysis.Server, ok bool) {
	s.Name = name
	where := "prometheus." + name
	f.mapping(n, where, func(key, value *yaml.Node) {
		switch key.Value {
		case "url":
			s.URL = f.prometheusURL(where, value)
		case "token_file":
			f.pathAt(&s.TokenFile, where+".token_file", value)
		default:
			f.wrong(key, "unknown key %q in %s: there are url and token_file", key.Value, where)
		}
	})
	if s.URL == nil {
		f.wrong(n, "%s: needs url, an http or https address without a password or a query", where)
		return s, false
	}
	return s, true
}

// prometheusURL is nil for what is no address of a server. What may hold a secret is not
// quoted.
func (f *file) prometheusURL(where string, n *yaml.Node) *url.URL {
	text, _ := f.scalar(where+".url", n)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	return u
}
