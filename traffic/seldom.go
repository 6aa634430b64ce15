package traffic

import "time"

// seldomEvery is how often a trouble is told of that lasts and comes back many times a
// second: no room for another file, say.
const seldomEvery = 10 * time.Second

// seldom says when to tell of such a trouble. The zero value does at once.
type seldom struct{ last time.Time }

func (s *seldom) due(now time.Time) bool {
	if !s.last.IsZero() && now.Sub(s.last) < seldomEvery {
		return false
	}
	s.last = now
	return true
}
