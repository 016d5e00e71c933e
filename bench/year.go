package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	story "ippwatch/demo/year"
	"ippwatch/edition"
	"ippwatch/store"
)

// yearWord is the first argument that asks for a generated year.
const yearWord = "year"

// years writes a generated year, keeps it if it is told where, and reads from it.
func years(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	o := story.Options{}
	fl := flag.NewFlagSet("bench year", flag.ContinueOnError)
	fl.SetOutput(errs)
	fl.IntVar(&o.Hosts, "hosts", 100_000, "hosts that a daily scan finds")
	fl.Uint64Var(&o.Seed, "seed", 1, "the same seed writes the same year")
	keep := fl.String("keep", "", "directory, not there yet, in which the year is kept for other measurements")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if fl.NArg() > 0 || o.Hosts < 10 {
		return errors.New("want flags only, and -hosts of 10 or more")
	}
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ippwatch-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s is there already", dir)
	}
	fmt.Fprintf(out, "%s\n\nyear: a generated year of about %d hosts a day\n", machine(), o.Hosts)
	figures, err := measureYear(ctx, filepath.Join(dir, "data"), o, errs)
	if err != nil {
		return err
	}
	for _, file := range []string{archive.File, store.File} {
		info, err := os.Stat(filepath.Join(dir, "data", file))
		if err != nil {
			return err
		}
		figures = append(figures, figure{What: "size of " + file, Value: float64(info.Size()) / mega, Unit: "MB"})
	}
	return table(out, figures)
}

func measureYear(ctx context.Context, data string, o story.Options, errs io.Writer) (figures []figure, err error) {
	st, err := store.Open(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	ar, err := archive.Open(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ar.Close()) }()
	told := -1
	o.Step = func(percent int, what string) {
		if percent > told {
			told = percent
			fmt.Fprintf(errs, "%3d%% %s\n", percent, what)
		}
	}
	timed := func(what string, f func() error) error {
		began := time.Now()
		err := f()
		figures = append(figures, figure{What: what, Value: time.Since(began).Seconds(), Unit: "s"})
		return err
	}
	if err := timed("written", func() error { return story.Write(ctx, st, ar, o) }); err != nil {
		return nil, err
	}
	view, day := access.CLI(story.Now), story.End.AddDate(0, 0, -1)
	if err := timed("counts of the year, by day and country", func() error {
		_, err := ar.Counts(ctx, view, archive.CountQuery{From: story.Begin, To: day, By: []archive.Dimension{archive.ByCountry}})
		return err
	}); err != nil {
		return nil, err
	}
	if err := timed("the reports of a day", func() error {
		_, err := edition.Rows(ctx, view, ar, st, day, archive.Query{})
		return err
	}); err != nil {
		return nil, err
	}
	return figures, nil
}
