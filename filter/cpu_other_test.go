//go:build !unix

package filter

import "time"

var start = time.Now()

func spent() time.Duration { return time.Since(start) }
