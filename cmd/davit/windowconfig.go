package main

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"davit/compose"
)

// windowSetting says when new content may go in on this host.
func windowSetting() setting {
	return setting{
		key: "window", usage: "when new content may go in, or with deny= may not: allow=CRON;for=DURATION[;timezone=ZONE]", kind: "SPEC", many: true,
		set: setWindow, clear: func(o *Config) { o.Windows = nil },
	}
}

// setWindow reads a window from one line. Cron lines hold commas, and no semicolons.
func setWindow(o *Config, v string) error {
	block := map[string]any{}
	for part := range strings.SplitSeq(v, ";") {
		key, value, ok := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		if _, twice := block[key]; !ok || twice {
			return fmt.Errorf("%q is not of the form allow=CRON;for=DURATION;timezone=ZONE, each once", v)
		}
		block[key] = strings.TrimSpace(value)
	}
	return addWindow(o, block)
}

func addWindow(o *Config, block any) error {
	w, err := compose.DecodeWindow(block)
	if err != nil {
		return err
	}
	o.Windows = append(o.Windows, w)
	return nil
}

// windows reads the list of them from a file, each with its keys, as in compose files.
func (f *file) windows(s setting, list *yaml.Node) {
	if list.Kind != yaml.SequenceNode {
		f.wrong(list, "%s: must be a list", s.key)
		return
	}
	for _, n := range list.Content {
		var block any
		if err := n.Decode(&block); err != nil {
			f.wrong(n, "%s: %w", s.key, err)
			continue
		}
		entry := s
		entry.set = func(o *Config, _ string) error { return addWindow(o, block) }
		f.apply(n, entry, "")
	}
}

// windows adds notes where those of the host leave a stack no time.
func (v *validation) windows(host compose.Windows) {
	if len(host) == 0 {
		return
	}
	for _, p := range v.projects {
		if compose.NeverOpen(host, p.Settings.Windows) && !compose.NeverOpen(p.Settings.Windows) {
			v.Notes = append(v.Notes, mistake{File: p.Files[0], Key: "x-davit.windows",
				Text: "never opens together with the windows of this host's configuration: new content would wait for ever"})
		}
	}
}
