package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
)

func FuzzAnInspectIsReadWhateverItSays(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"Id":"a","State":{},"Config":{},"HostConfig":{}}`,
		`{"Id":"abcdefabcdef00","Name":"/davit-incomplete.x","State":{"Status":"exited","StartedAt":"yesterday","Health":{"Status":"?"}},
		  "Config":{"Labels":{"davit.spec":"v1","davit.release":"-","com.docker.compose.container-number":"9999999999999999999"}},
		  "HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":-1}},
		  "NetworkSettings":{"Networks":{"a":null,"b":{"Aliases":["abcdefabcdef","x","x",""]}}},"Mounts":[{"Type":"volume"}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c container.InspectResponse
		if json.Unmarshal([]byte(text), &c) != nil || !whole(c) {
			return
		}
		o := observed(c)
		_ = o.State.String() + o.Health.String()
		if strings.HasPrefix(o.Name, incomplete) && o.Spec != "" {
			t.Errorf("half a container has spec %q", o.Spec)
		}
		if o.Endpoints == nil || o.Volumes == nil {
			t.Error("a map is nil")
		}
	})
}
