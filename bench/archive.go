package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ippwatch/archive"
)

const (
	repeatedDays = 3
	batchSize    = 1000 // as campaign appends
)

func archiveTitle(o options) string {
	return fmt.Sprintf("archive: the same %d hosts day after day; every volatile value moves, and 2 %% of the stable ones (in batches of %d)", o.Rows, batchSize)
}

func measureArchive(ctx context.Context, o options) ([]figure, error) {
	return inWorker(ctx, "archive", o)
}

// appendDays appends a first day and some more. Only the appending is timed,
// with the opening and closing around each day.
func appendDays(ctx context.Context, o options) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := newStreet(o.Rows)
	var sizes []float64
	var times []time.Duration
	var worst time.Duration
	for day := range 1 + repeatedDays {
		took, longest, err := appendDay(ctx, dir, s, day)
		if err != nil {
			return nil, fmt.Errorf("day %d: %w", day, err)
		}
		info, err := os.Stat(filepath.Join(dir, archive.File))
		if err != nil {
			return nil, err
		}
		times, sizes, worst = append(times, took), append(sizes, float64(info.Size())), max(worst, longest)
	}
	rows := float64(o.Rows)
	again := slices.Sorted(slices.Values(times[1:]))
	return []figure{
		{What: "speed, hosts seen before", Value: rows / again[len(again)/2].Seconds(), Unit: "observations/s", Least: 30_000},
		{What: "speed, new hosts", Value: rows / times[0].Seconds(), Unit: "observations/s"},
		{What: "one repeated day", Value: (sizes[repeatedDays] - sizes[0]) / repeatedDays / mega, Unit: "MB", Most: 8 * rows / 100_000},
		{What: "the same, each host", Value: (sizes[repeatedDays] - sizes[0]) / repeatedDays / rows, Unit: "B"},
		{What: "the first day, each host", Value: sizes[0] / rows, Unit: "B"},
		{What: "longest append of a batch", Value: float64(worst.Microseconds()) / 1000, Unit: "ms"},
	}, nil
}

// appendDay appends one day to an archive that is opened anew.
func appendDay(ctx context.Context, dir string, s *street, day int) (took, longest time.Duration, err error) {
	began := time.Now()
	a, err := archive.Open(ctx, dir)
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	for batch := range s.day(day) {
		began := time.Now()
		added, err := a.Append(ctx, batch)
		one := time.Since(began)
		if err == nil && added != len(batch) {
			err = fmt.Errorf("%d of %d were kept", added, len(batch))
		}
		if err != nil {
			return 0, 0, errors.Join(err, a.Close())
		}
		took, longest = took+one, max(longest, one)
	}
	began = time.Now()
	err = a.Close()
	return took + time.Since(began), longest, err
}
