package traffic

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestWhatWasLookedAtIsReadFirst(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		for _, piece := range []string{"P", "RI", " * and what follows"} {
			io.WriteString(far, piece) // what is missing is seen below
		}
	}()
	c := &client{Conn: near}
	if err := c.peek(4); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "PRI * and what follows" {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := c.peek(1); !errors.Is(err, io.EOF) {
		t.Fatalf("peek after the end: %v", err)
	}
}
