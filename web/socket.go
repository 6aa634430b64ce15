package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"davit/reconcile"
	"davit/traffic/socket"
)

// SocketName is the socket's name in the data directory.
const SocketName = "davit.sock"

// ErrNoAgent: nobody answers on the socket.
var ErrNoAgent = errors.New("no agent is running")

// Listen opens the socket at path for its owner only. A socket that a dead agent
// left behind is replaced; one that answers is not.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	l, err := socket.Listen(ctx, path)
	if errors.Is(err, socket.ErrTaken) {
		return nil, reconcile.WithHint(fmt.Errorf("listen on %s: another agent answers there", path),
			"stop it, or give this one a data directory of its own with --data")
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// dial connects to the socket at path; its error is ErrNoAgent when there is no
// socket or nobody accepts on it.
func dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := socket.Dial(ctx, path)
	switch {
	case errors.Is(err, socket.ErrNobody):
		return nil, fmt.Errorf("%w on %s", ErrNoAgent, path)
	case errors.Is(err, os.ErrPermission):
		return nil, reconcile.WithHint(err, "the socket belongs to the user that runs the agent: try sudo")
	case err != nil:
		return nil, err
	}
	return conn, nil
}
