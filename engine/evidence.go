package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// maxEvidence bounds what is kept of a log: lines have no limit of their own.
const maxEvidence = 64 << 10

// Evidence is what a person wants to see of a failed container: the output of
// its last health check and its last log lines, as valid UTF-8.
func (e *Engine) Evidence(ctx context.Context, id string, lines int) (string, error) {
	found, err := e.inspect(ctx, id)
	if err != nil {
		return "", fmt.Errorf("read log: %w", err)
	}
	var b strings.Builder
	if h := found.State.Health; h != nil && len(h.Log) > 0 {
		last := h.Log[len(h.Log)-1]
		fmt.Fprintf(&b, "last health check (exit code %d): %s\n", last.ExitCode, strings.TrimSpace(last.Output))
	}
	if found.State.Error != "" {
		fmt.Fprintf(&b, "engine: %s\n", found.State.Error)
	}
	log, err := e.tail(ctx, found, lines)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", err
	case err != nil: // a logging driver that cannot be read, for one
		fmt.Fprintf(&b, "the log cannot be read: %v", err)
	}
	b.WriteString(log)
	return strings.ToValidUTF8(strings.ReplaceAll(b.String(), "\x00", ""), "\uFFFD"), nil
}

func (e *Engine) tail(ctx context.Context, c container.InspectResponse, lines int) (string, error) {
	last := &ending{limit: maxEvidence}
	err := e.do(ctx, "read log of container "+c.ID, func(ctx context.Context, cli *client.Client) error {
		body, err := cli.ContainerLogs(ctx, c.ID, container.LogsOptions{
			ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(max(lines, 0)),
		})
		if err != nil {
			return err
		}
		defer body.Close()
		if c.Config.Tty {
			_, err = io.Copy(last, body)
		} else {
			_, err = stdcopy.StdCopy(last, last, body)
		}
		return err
	})
	return string(bytes.TrimRight(last.kept, "\n")), err
}

// ending keeps the last bytes that are written to it.
type ending struct {
	limit int
	kept  []byte
}

func (w *ending) Write(p []byte) (int, error) {
	w.kept = append(w.kept, p...)
	if over := len(w.kept) - w.limit; over > 0 {
		w.kept = append(w.kept[:0], w.kept[over:]...)
	}
	return len(p), nil
}
