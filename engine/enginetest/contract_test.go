package enginetest_test

import (
	"testing"

	"davit/engine/enginetest"
	"davit/reconcile"
)

func TestTheTwinKeepsTheContract(t *testing.T) {
	enginetest.Contract(t, func(t *testing.T) enginetest.Bench {
		e := enginetest.New(enginetest.Options{Instance: "contract"})
		return enginetest.Bench{
			Engine: e, Instance: "contract", Project: "shop", Port: "8080", Dir: "/srv/files",
			Image:        func(_ *testing.T, ref string, b enginetest.Behaviour) reconcile.Image { return e.AddImage(ref, b) },
			StopByHand:   func(_ *testing.T, id string) { e.StopByHand(id) },
			RemoveByHand: func(_ *testing.T, id string) { e.RemoveByHand(id) },
		}
	})
}
