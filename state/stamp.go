package state

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// stampLayout has a fixed width and is always UTC, so that text sorts as time
// does. SQLite's own date functions understand it.
const stampLayout = "2006-01-02T15:04:05.000000000Z"

// stamp is a moment as the database keeps it; the zero moment is NULL.
type stamp time.Time

func (s stamp) text() string { return time.Time(s).UTC().Format(stampLayout) }

func (s stamp) Value() (driver.Value, error) {
	if time.Time(s).IsZero() {
		return nil, nil
	}
	return s.text(), nil
}

func (s *stamp) Scan(v any) error {
	if v == nil {
		*s = stamp{}
		return nil
	}
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("time is a %T", v)
	}
	t, err := time.Parse(stampLayout, text)
	*s = stamp(t)
	return err
}
