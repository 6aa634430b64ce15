package gitsource

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// maxPackObjects bounds what one pack may hold: a commit has few objects beside
// its files, a deepened fetch has more.
const maxPackObjects = 1_000_000

// storePack receives a pack and returns a store with its objects.
func storePack(ctx context.Context, r io.Reader, w want) (storer.EncodedObjectStorer, error) {
	file, err := os.Create(filepath.Join(w.dir, "pack"))
	if err != nil {
		return nil, diskError(err)
	}
	defer file.Close() // only read from here on
	n, err := io.Copy(file, io.LimitReader(r, w.limits.Pack+1))
	if err != nil {
		return nil, diskError(fmt.Errorf("receive the pack: %w", err))
	}
	if n > w.limits.Pack {
		return nil, stalled(ErrTooLarge, "receive a pack of more than %d bytes", w.limits.Pack)
	}
	if err := weighPack(ctx, file, w.limits); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the pack again: %w", err)
	}
	store := newStore(filepath.Join(w.dir, "git"), w.limits)
	if err := store.Init(); err != nil {
		return nil, diskError(fmt.Errorf("make a store: %w", err))
	}
	if err := packfile.WritePackfileToObjectStorage(store, file); err != nil {
		if errors.Is(diskError(err), err) {
			return nil, fmt.Errorf("index the pack: %w: %w", errDamaged, err)
		}
		return nil, fmt.Errorf("index the pack: %w", diskError(err))
	}
	return store, nil
}

func newStore(dir string, l Limits) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()),
		cache.NewObjectLRU(8*cache.MiByte), filesystem.Options{
			ExclusiveAccess:      true,
			LargeObjectThreshold: min(l.File, mebi),
		})
}

// weighPack reads a pack's headers before go-git inflates it whole: a few
// kilobytes can declare objects, or deltas, of many gigabytes.
func weighPack(ctx context.Context, file *os.File, l Limits) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the pack: %w", err)
	}
	scanner := packfile.NewScanner(bufio.NewReader(file))
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("read the pack's header: %w: %w", errDamaged, err)
	}
	if count > maxPackObjects {
		return stalled(ErrTooLarge, "receive a pack of %d objects", count)
	}
	// Several versions of the files come along when a fetch is deepened.
	left := 4 * l.Bytes
	for range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		size, err := weighObject(scanner, max(l.File, maxTree))
		if err != nil {
			return err
		}
		if left -= size; left < 0 {
			return stalled(ErrTooLarge, "receive a pack that inflates to more than %d bytes", 4*l.Bytes)
		}
	}
	return nil
}

// weighObject is the size of the next object, a delta applied.
func weighObject(scanner *packfile.Scanner, limit int64) (int64, error) {
	h, err := scanner.NextObjectHeader()
	if err != nil {
		return 0, fmt.Errorf("read the pack: %w: %w", errDamaged, err)
	}
	size := h.Length
	if size >= 0 && size <= limit {
		head := &prefix{limit: 2 * binary.MaxVarintLen64}
		if _, _, err := scanner.NextObject(head); err != nil {
			return 0, fmt.Errorf("read the pack: %w: %w", errDamaged, err)
		}
		if h.Type.IsDelta() {
			if size, err = deltaSize(head.buf); err != nil {
				return 0, err
			}
		}
	}
	if size < 0 || size > limit {
		return 0, stalled(ErrTooLarge, "receive an object of more than %d bytes", limit)
	}
	return size, nil
}

// deltaSize is the size of what a delta makes: its second number.
func deltaSize(delta []byte) (int64, error) {
	r := bytes.NewReader(delta)
	if _, err := binary.ReadUvarint(r); err != nil {
		return 0, fmt.Errorf("read a delta: %w: %w", errDamaged, err)
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, fmt.Errorf("read a delta: %w: %w", errDamaged, err)
	}
	return int64(size), nil
}

// prefix is a writer that keeps the first bytes.
type prefix struct {
	buf   []byte
	limit int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b[:min(len(b), p.limit-len(p.buf))]...)
	return len(b), nil
}
