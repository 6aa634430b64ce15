package compose

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestOneServiceGoesBack(t *testing.T) {
	old := load(t, map[string]string{"compose.yaml": `
name: shop
services:
  web: {image: 'web:1', volumes: ['./w:/w:ro', 'vol:/v'], secrets: [s], networks: [old, both], depends_on: [db]}
  db: {image: 'db:1', volumes: ['./d:/d:ro']}
volumes: {vol: {name: first}}
networks: {old: , both: }
secrets: {s: {file: ./s}}
`, "w": "1", "d": "1", "s": "1"})
	new := load(t, map[string]string{"compose.yaml": `
name: shop
services:
  web: {image: 'web:2', volumes: ['./w:/w:ro', 'vol:/v'], networks: [both]}
  db: {image: 'db:2', volumes: ['./d:/d:ro']}
  job: {image: 'job:2'}
volumes: {vol: {name: second}, more: }
networks: {both: }
`, "w": "2", "d": "2"})
	web, _ := old.Service("web")
	mixed, err := new.WithService(web, old)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := mixed.Service("web")
	if !reflect.DeepEqual(got, web) {
		t.Errorf("web is %+v\nwant %+v", got, web)
	}
	for _, name := range []string{"db", "job"} {
		got, _ := mixed.Service(name)
		want, _ := new.Service(name)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v\nwant %+v", name, got, want)
		}
	}
	if mixed.Model.Volumes["vol"].Name != "first" || mixed.Model.Networks["old"].Name != "shop_old" || mixed.Model.Secrets["s"].File == "" {
		t.Errorf("what web uses did not come with it: %+v", mixed.Model)
	}
	var sources []string
	for _, c := range mixed.Content {
		sources = append(sources, c.To)
	}
	for _, want := range []string{web.Config.Volumes[0].Source, mixed.Model.Secrets["s"].File, mixed.Services[0].Config.Volumes[0].Source} {
		if !slices.Contains(sources, want) {
			t.Errorf("content %v lacks %s", sources, want)
		}
	}
	if mixed.Hash == old.Hash || mixed.Hash == new.Hash || !strings.HasPrefix(mixed.Hash, hashVersion) {
		t.Errorf("the mixture's hash is %s", mixed.Hash)
	}
	again(t, mixed)
}

func TestAMixtureOfEverythingIsTheOther(t *testing.T) {
	file := "name: s\nservices: {a: {image: 'a:%'}, b: {image: 'b:%', depends_on: {a: {condition: service_completed_successfully}}}}"
	old := load(t, one(strings.ReplaceAll(file, "%", "1")))
	new := load(t, one(strings.ReplaceAll(file, "%", "2")))
	mixed := new
	for _, name := range []string{"b", "a"} {
		s, _ := old.Service(name)
		var err error
		if mixed, err = mixed.WithService(s, old); err != nil {
			t.Fatal(err)
		}
	}
	if mixed.Hash != old.Hash || !reflect.DeepEqual(mixed.Services, old.Services) {
		t.Errorf("hash %s, want %s\n%+v", mixed.Hash, old.Hash, mixed.Services)
	}
	if new.Services[0].Config.Image != "a:2" || new.Hash == mixed.Hash {
		t.Error("the project that was mixed from changed")
	}
}

func TestAProjectThatWasNotLoadedIsStoredToo(t *testing.T) {
	s := Service{Name: "web", Hash: "v1:x", Replicas: 2}
	s.Config.Name, s.Config.Image = "web", "web:1"
	p := &Project{Name: "shop", Hash: "v1:y", Services: []Service{s}}
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Services[0]; got.Config.Image != "web:1" || got.Replicas != 2 || back.Hash != p.Hash || back.Model.Name != "shop" {
		t.Errorf("%+v", back)
	}
	other := load(t, one("name: shop\nservices: {db: {image: db}}"))
	mixed, err := other.WithService(s, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(mixed.Services) != 2 || mixed.Hash == other.Hash {
		t.Errorf("%+v", mixed)
	}
}

func TestWhatIsStoredBadlyIsRefused(t *testing.T) {
	good, err := load(t, one("services: {a: {image: a}}")).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"nothing":             "",
		"half of it":          string(good[:len(good)/2]),
		"a later format":      strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		"no model":            `{"version":1,"name":"a"}`,
		"a service too many":  strings.Replace(string(good), `"services":[{"name":"a"`, `"services":[{"name":"b"`, 1),
		"a model of nonsense": strings.Replace(string(good), `"image":"a"`, `"volumes":5`, 1),
	} {
		if _, err := Unmarshal([]byte(data)); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}
