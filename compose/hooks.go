package compose

import (
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// settleHooks reads the files of variables and labels of a service's pre_start hooks
// in. compose-go has given them what the service has.
func (l *loading) settleHooks(service map[string]any, config types.ServiceConfig, env types.Mapping) {
	hooks, _ := service["pre_start"].([]any)
	for i, h := range hooks {
		hook, ok := h.(map[string]any)
		if !ok || i >= len(config.PreStart) {
			continue
		}
		as := types.ServiceConfig{Name: config.Name, ContainerSpec: config.PreStart[i].ContainerSpec}
		if vars, ok := l.serviceEnvironment(as, env); ok {
			set := map[string]any{}
			for k, v := range vars {
				set[k] = nil
				if v != nil {
					set[k] = *v
				}
			}
			replaceMap(hook, "environment", set)
		}
		for _, done := range []string{"env_file", "label_file", "credential_spec"} {
			delete(hook, done)
		}
		dropExtensions(hook)
	}
}

// hooks are checked for what a pre_start hook may have of its own.
func (c checker) hooks() {
	for i, h := range c.service.PreStart {
		at := fmt.Sprintf("pre_start[%d].", i)
		if h.PerReplica {
			c.report(at+"per_replica", "%w", errUnsupported)
		}
		if h.Image != "" && h.Image != c.service.Image {
			c.report(at+"image", "an image other than the service's: %w", errUnsupported)
		}
		if len(h.Volumes) > 0 {
			c.report(at+"volumes", "of its own: %w: it has those of the service", errUnsupported)
		}
		for _, use := range h.Configs {
			if !slices.ContainsFunc(c.service.Configs, func(o types.ServiceConfigObjConfig) bool { return o.Source == use.Source }) {
				c.report(at+"configs", "%s, which the service has not: %w", use.Source, errUnsupported)
			}
		}
		for _, use := range h.Secrets {
			if !slices.ContainsFunc(c.service.Secrets, func(o types.ServiceSecretConfig) bool { return o.Source == use.Source }) {
				c.report(at+"secrets", "%s, which the service has not: %w", use.Source, errUnsupported)
			}
		}
	}
}
