package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// decode reads JSON with ' for ".
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "'", `"`)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestWhatDiffersFromRunToRunIsTakenOut(t *testing.T) {
	for name, c := range map[string]struct{ engine, want string }{
		"the engine's own": {
			`{'Id':'` + id + `','Created':'today','State':{'Status':'created'},'Name':'/web-1'}`,
			`{'Name':'/web-1'}`},
		"what says nothing": {
			`{'HostConfig':{'Binds':null,'Dns':[],'Memory':0,'Privileged':false,'Devices':{}},'Path':''}`,
			`{}`},
		"nothing and zero stay apart where they are two things": {
			`{'HostConfig':{'Init':false,'OomKillDisable':null,'MemorySwappiness':0,'PidsLimit':0},'Config':{'StopTimeout':0,'Entrypoint':[],'Cmd':null}}`,
			`{'HostConfig':{'Init':false,'MemorySwappiness':0,'PidsLimit':0},'Config':{'StopTimeout':0,'Entrypoint':[]}}`},
		"lists in any order": {
			`{'Config':{'Env':['B=2','A=1']},'HostConfig':{'Dns':['9.9.9.9','1.1.1.1'],'Binds':['/b:/b','/a:/a']}}`,
			`{'Config':{'Env':['A=1','B=2']},'HostConfig':{'Dns':['9.9.9.9','1.1.1.1'],'Binds':['/a:/a','/b:/b']}}`},
		"the engine's own list": {
			`{'HostConfig':{'MaskedPaths':['/proc/kcore'],'ReadonlyPaths':[]}}`,
			`{'HostConfig':{'MaskedPaths':'STANDARD'}}`},
		"a host name by chance": {
			`{'Id':'` + id + `','Config':{'Hostname':'0123456789ab'}}`,
			`{'Config':{'Hostname':'ID'}}`},
		"an alias by chance": {
			`{'NetworkSettings':{'Networks':{'shop.example':{'Aliases':['web','0123456789ab'],'EndpointID':'x','NetworkID':'y'}}}}`,
			`{'NetworkSettings':{'Networks':{'shop.example':{'Aliases':['web']}}}}`},
		"another container's ID": {
			`{'HostConfig':{'NetworkMode':'container:` + id + `'},'Config':{'Labels':{'com.docker.compose.config-hash':'x','a':'b'}}}`,
			`{'HostConfig':{'NetworkMode':'container:shop-web-1'},'Config':{'Labels':{'a':'b','com.docker.compose.config-hash':'OF THE CONTAINERS SHARED WITH'}}}`},
		"a volume without a name": {
			`{'Mounts':[{'Type':'volume','Name':'` + strings.Repeat("ab", 32) + `'}]}`,
			`{'Mounts':[{'Type':'volume','Name':'ANONYMOUS'}]}`},
		"content of the revision": {
			`{'HostConfig':{'Binds':['/data/files/5e/web.conf:/etc/web.conf:ro']}}`,
			`{'HostConfig':{'Binds':['/work/web.conf:/etc/web.conf:ro']}}`},
		"labels": {
			`{'Config':{'Labels':{'davit.spec':'v1','com.docker.compose.version':'5','com.docker.compose.depends_on':'b:x:true,a:y:false','com.docker.compose.config-hash':'` + id + `'}}}`,
			`{'Config':{'Labels':{'com.docker.compose.depends_on':'a:y:false,b:x:true','com.docker.compose.config-hash':'` + id + `'}}}`},
		"a policy that is none": {
			`{'HostConfig':{'RestartPolicy':{'Name':'no'}}}`,
			`{}`},
	} {
		t.Run(name, func(t *testing.T) {
			n := normal{replace: &[]string{}, shorts: map[string]bool{}}
			n.mean("/data/files/5e/web.conf", "/work/web.conf")
			n.know(id, "shop-web-1", nil)
			got, want := n.container(decode(t, c.engine)), decode(t, c.want)
			if !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
				t.Errorf("got  %s\nwant %s", encoded(got), encoded(want))
			}
		})
	}
}

func TestOnlyAddressesThatTheEngineChoseAreTakenOut(t *testing.T) {
	n := normal{replace: &[]string{}, shorts: map[string]bool{}}
	got := n.network(decode(t, `{'Name':'shop','Id':'x','IPAM':{'Config':[{'Subnet':'10.200.0.64/26'},{'Subnet':'10.61.0.0/24'}]}}`))
	if want := decode(t, `{'Name':'shop','IPAM':{'Config':[{'Subnet':'10.61.0.0/24'}]}}`); !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, want %s", encoded(got), encoded(want))
	}
}

func TestDifferencesNameTheField(t *testing.T) {
	one := func(memory float64, env ...any) made {
		return made{Containers: map[string]map[string]any{"web/1": {
			"HostConfig": map[string]any{"Memory": memory}, "Config": map[string]any{"Env": env},
		}}}
	}
	for name, c := range map[string]struct {
		davit, compose made
		want           string
	}{
		"none":                     {one(1, "A"), one(1, "A"), ""},
		"a number":                 {one(1, "A"), one(2, "A"), "HostConfig.Memory"},
		"a list":                   {one(1, "A"), one(1, "A", "B"), "Config.Env"},
		"nothing made":             {made{}, one(1, "A"), "exists"},
		"more made than is wanted": {one(1, "A"), made{}, "exists"},
	} {
		t.Run(name, func(t *testing.T) {
			var fields []string
			for _, differences := range differences("shop", c.davit, c.compose) {
				for _, d := range differences {
					fields = append(fields, d.field)
				}
			}
			if got := strings.Join(fields, " "); got != c.want {
				t.Errorf("differences in %q, want %q", got, c.want)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	is, no := made{Containers: map[string]map[string]any{"web/1": {"Name": "x"}}}, made{Refused: "models: not supported"}
	for name, c := range map[string]struct {
		says         string
		ours, theirs made
		want         verdict
	}{
		"both make it":                           {"", is, is, comparedFields},
		"none makes it":                          {"", no, no, refusedByBoth},
		"davit alone refuses":                    {"", no, is, refusedWrongly},
		"Compose alone refuses":                  {"", is, no, acceptedWrongly},
		"davit refuses and the file says so":     {"davit refuses: models", no, is, refusedByDesign},
		"davit refuses with another reason":      {"davit refuses: jobs", no, is, refusedWrongly},
		"davit does not refuse what it should":   {"davit refuses: models", is, is, acceptedWrongly},
		"an old engine refuses":                  {"davit refuses before API 1.44: models", no, is, refusedByDesign},
		"a new engine does not":                  {"davit refuses before API 1.41: models", is, is, comparedFields},
		"davit knows more, and the file says so": {"davit accepts: it is newer", is, no, acceptedByDesign},
	} {
		t.Run(name, func(t *testing.T) {
			e := expected([]byte("Some text.\n" + c.says + "\n"))
			if got := judged(specimen{expectation: e.on("1.41")}, c.ours, c.theirs).verdict; got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
