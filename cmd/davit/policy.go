package main

import (
	"strings"

	"davit/compose"
)

// judged is l with the policy as its file is now. A policy that cannot be read
// lets nothing pass.
func (l stacks) judged() (stacks, error) {
	var err error
	l.policy, err = compose.ReadPolicy(l.config.Policy)
	return l, err
}

// judge says what today's policy refuses in a recorded project.
func (o Config) judge(p *compose.Project) error {
	policy, err := compose.ReadPolicy(o.Policy)
	if err != nil {
		return err
	}
	return policy.Judge(p, compose.Host{DataDir: o.Data, SecretsDir: o.SecretsDir, Socket: o.socket(), Resolve: compose.ResolvePath})
}

// socket is the path of the engine's socket, "" for an engine elsewhere.
func (o Config) socket() string {
	path, local := strings.CutPrefix(o.Engine, "unix://")
	if !local {
		return ""
	}
	return path
}
