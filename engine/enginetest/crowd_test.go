package enginetest_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// crowded is a host on which a container of each image gets a share of ten requests a
// second.
func crowded(t *testing.T, weights []int, images ...enginetest.Behaviour) (*enginetest.Engine, *enginetest.Edge) {
	t.Helper()
	e := enginetest.New(enginetest.Options{})
	edge := enginetest.NewEdge(e)
	route := reconcile.Route{Stack: "shop", Service: "web", Weights: map[int64]int{}}
	for i, b := range images {
		id := create(t, e, types.ServiceConfig{}, e.AddImage(fmt.Sprint("web:", i), b), fmt.Sprint("web-", i+1), "no")
		start(t, e, id)
		c := inspect(t, e, id)
		release := int64(i + 1)
		route.Members = append(route.Members, reconcile.Member{Container: id, Started: c.Started, Release: release,
			Address: netip.MustParseAddr(c.Endpoints["shop_default"].IP), Name: fmt.Sprint("web/", i+1)})
		route.Weights[release] = weights[i]
	}
	if err := edge.Apply(t.Context(), reconcile.EdgeTable{Generation: 1, Routes: []reconcile.Route{route}}); err != nil {
		t.Fatal(err)
	}
	edge.Crowd("web", 10)
	return e, edge
}

func TestACrowdIsDealtOutByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, edge := crowded(t, []int{95, 5}, enginetest.Behaviour{}, enginetest.Behaviour{Errors: 0.2, ErrorsFrom: 5, Latency: time.Second})
		time.Sleep(100*time.Second - time.Millisecond)
		got := edge.Tally("web")
		if got.Requests != 1000 || got.Releases[1].Requests != 950 || got.Releases[2].Requests != 50 {
			t.Errorf("got %+v", got)
		}
		if got.Failed != 9 || got.Releases[2].Failed != 9 || got.Releases[2].Took[time.Second] != 50 {
			t.Errorf("a fifth of those after the fifth fails, got %+v", got)
		}
	})
}

func TestACrowdThatAContainerCannotBearGoesToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, edge := crowded(t, []int{50, 50}, enginetest.Behaviour{}, enginetest.Behaviour{DiesAt: 10, OOM: true})
		time.Sleep(10*time.Second - time.Millisecond)
		got := edge.Tally("web")
		if got.Failed != 1 || got.Releases[1].Requests != 90 || got.Releases[2].Requests != 10 {
			t.Errorf("got %+v", got)
		}
		o, err := e.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range o.Containers {
			if killed := c.OOMKilled && c.ExitCode == 137 && !c.Running(); killed != (c.Name == "web-2") {
				t.Errorf("%s: %+v", c.Name, c)
			}
		}
	})
}

func TestACrowdWaitsForSomebodyAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, edge := crowded(t, []int{1}, enginetest.Behaviour{})
		time.Sleep(time.Second)
		e.StopDaemon()
		time.Sleep(12 * time.Second)
		got := edge.Tally("web")
		if got.Failed < 20 || got.Failed > 22 {
			t.Errorf("those of two seconds are to have failed, got %+v", got)
		}
	})
}
