package store

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// An instant is a time as the database keeps it: nanoseconds since 1970, and 0
// for the zero time.
type instant struct{ time.Time }

// endOfTime is later than any time that is kept.
func endOfTime() instant { return instant{time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC)} }

// Value returns the nanoseconds.
func (i instant) Value() (driver.Value, error) {
	if y := i.Year(); !i.IsZero() && (y < 1970 || y > 2261) {
		return nil, fmt.Errorf("keep time %s: out of range", i.Format(time.RFC3339))
	}
	return i.nanoseconds(), nil
}

func (i instant) nanoseconds() int64 {
	if i.IsZero() {
		return 0
	}
	return i.UnixNano()
}

// Scan reads what [instant.Value] returned.
func (i *instant) Scan(v any) error {
	ns, ok := v.(int64)
	if !ok {
		return fmt.Errorf("read time: %v is none", v)
	}
	i.Time = time.Time{}
	if ns != 0 {
		i.Time = time.Unix(0, ns).UTC()
	}
	return nil
}
