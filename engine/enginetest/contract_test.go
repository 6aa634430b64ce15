package enginetest_test

import (
	"errors"
	"testing"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

func TestTheTwinKeepsTheContract(t *testing.T) {
	enginetest.Contract(t, func(t *testing.T) enginetest.Bench {
		e := enginetest.New(enginetest.Options{Instance: "contract"})
		return enginetest.Bench{
			Engine: e, Instance: "contract", Project: "shop", Port: "8080", Dir: "/srv/files",
			Buildable:    func(_ *testing.T, content string) reconcile.Image { return buildable(e, content) },
			Image:        func(_ *testing.T, ref string, b enginetest.Behaviour) reconcile.Image { return e.AddImage(ref, b) },
			StopByHand:   func(_ *testing.T, id string) { e.StopByHand(id) },
			RemoveByHand: func(_ *testing.T, id string) { e.RemoveByHand(id) },
		}
	})
}

// buildable is an image of the service web that e builds of this content.
func buildable(e *enginetest.Engine, content string) reconcile.Image {
	b := &compose.Build{Name: "shop-web", Tag: compose.BuildTagPrefix + "shop/web:" + content}
	var err error
	if content == enginetest.Unbuildable {
		err = errors.New("no such file")
	}
	e.Buildable(b.Name, enginetest.Behaviour{Healthcheck: true, Volumes: []string{"/data"}}, err)
	return reconcile.Image{Ref: b.Name, Built: b.Tag, Build: b}
}
