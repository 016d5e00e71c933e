package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const mega = 1 << 20

func cores() string { return fmt.Sprintf("%d cores", runtime.NumCPU()) }

func goAnd(kernel string) string { return fmt.Sprintf("%s, %s", runtime.Version(), kernel) }

// mostFiles watches how many descriptors a process has open, twenty times a
// second; the function that it returns ends the watch and tells the most.
func mostFiles(ctx context.Context, pid int) func() int {
	ctx, cancel := context.WithCancel(ctx)
	most := 0
	var watching sync.WaitGroup
	watching.Go(func() {
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		for {
			most = max(most, openFiles(pid))
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	return func() int {
		cancel()
		watching.Wait()
		return most
	}
}
