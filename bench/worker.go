package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// A worker is this program again, so that each measurement has a process, and
// with it a memory and a CPU clock, of its own.
const (
	workerWord = "worker"
	farmWord   = "farm"
)

func workerCommand(ctx context.Context, name string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, workerWord, name)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// A worker that was started reads in and writes out.
type worker struct {
	*exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func startWorker(ctx context.Context, name string) (*worker, error) {
	cmd, err := workerCommand(ctx, name)
	if err != nil {
		return nil, err
	}
	w := &worker{Cmd: cmd}
	if w.in, err = w.StdinPipe(); err != nil {
		return nil, err
	}
	if w.out, err = w.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := w.Start(); err != nil {
		return nil, fmt.Errorf("start worker %s: %w", name, err)
	}
	return w, nil
}

// inWorker runs one measurement in a worker.
func inWorker(ctx context.Context, name string, o options) ([]figure, error) {
	w, err := startWorker(ctx, name)
	if err != nil {
		return nil, err
	}
	var figures []figure
	told := errors.Join(json.NewEncoder(w.in).Encode(o), w.in.Close())
	heard := json.NewDecoder(w.out).Decode(&figures)
	if err := w.Wait(); err != nil {
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	return figures, errors.Join(told, heard)
}

// rounds measures several times against one farm.
func rounds(ctx context.Context, name string, o options) ([]figure, error) {
	f, err := openFarm(ctx)
	if err != nil {
		return nil, err
	}
	defer f.close()
	o.Port = f.port
	var all [][]figure
	for range o.Rounds {
		figures, err := inWorker(ctx, name, o)
		if err != nil {
			return nil, err
		}
		all = append(all, figures)
	}
	return median(all), nil
}

// profile begins a CPU profile in the directory, or none.
func profile(dir, name string) (end func() error, err error) {
	if dir == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, name+"-"+time.Now().Format("150405.000")+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// discard reads to the end.
func discard(r io.Reader) { _, _ = io.Copy(io.Discard, r) }
