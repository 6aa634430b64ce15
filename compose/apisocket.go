package compose

import "maps"

// APISocketConfig is the config that Compose invents for a service with
// use_api_socket: the registry credentials of whoever runs it. The engine's
// adapter knows its content, and nobody else.
const APISocketConfig = "#apisocket"

// apiSocket is where the engine listens, on the host and in the container.
const apiSocket = "/var/run/docker.sock"

// apiSocket gives the services with use_api_socket what Compose gives them: the
// engine's socket, and credentials unless they say where theirs are.
func (r *rendering) apiSocket() {
	for name := range below(r.tree, "services") {
		service := r.service(name)
		if service["use_api_socket"] != true {
			continue
		}
		const config = "/run/secrets/docker"
		mounts, _ := service["volumes"].([]any)
		service["volumes"] = append(mounts[:len(mounts):len(mounts)],
			map[string]any{"type": "bind", "source": apiSocket, "target": apiSocket})
		environment := maps.Clone(below(service, "environment"))
		if environment == nil {
			environment = map[string]any{}
		}
		if _, own := environment["DOCKER_CONFIG"]; !own {
			environment["DOCKER_CONFIG"] = config
		}
		service["environment"] = environment
		uses, _ := service["configs"].([]any)
		service["configs"] = append(uses[:len(uses):len(uses)],
			map[string]any{"source": APISocketConfig, "target": config + "/config.json"})
		configs := maps.Clone(below(r.tree, "configs"))
		if configs == nil {
			configs = map[string]any{}
		}
		configs[APISocketConfig] = map[string]any{"name": APISocketConfig}
		r.tree["configs"] = configs
	}
}
