package engine

import (
	"testing"
	"time"
)

func TestAListThatIsOlderThanACommandForgetsNothingOfIt(t *testing.T) {
	l, key, asked := newLingerers(), [2]string{"new", "/health"}, time.Now()
	l.keep(key, "exec")
	if l.keepOnly(nil, asked); len(l.execs) != 1 {
		t.Error("the command in a container that was made while the engine listed the others is forgotten")
	}
	if l.keepOnly(nil, time.Now().Add(time.Second)); len(l.execs) != 0 {
		t.Error("the command in a container that is gone is remembered")
	}
}
