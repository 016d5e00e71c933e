package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/space"
)

func scanTitle(o options) string {
	return fmt.Sprintf("end to end: ippwatch scan from start to exit, with TLS check, rules, archive, cases and table (%d hosts, %d in flight)", o.Hosts, o.Flight)
}

// measureScan builds the binary that users get, and measures that.
func measureScan(ctx context.Context, o options) (figures []figure, err error) {
	end, err := built(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer end()
	return rounds(ctx, "scan", o)
}

// built builds the binary, unless the user has named one; the function that it
// returns removes it again.
func built(ctx context.Context, o *options) (end func(), err error) {
	if o.Ippwatch != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return nil, err
	}
	end = func() { _ = os.RemoveAll(dir) } // what is left is in the directory for that
	o.Ippwatch = filepath.Join(dir, "ippwatch")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", o.Ippwatch, "ippwatch/cmd/ippwatch")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		end()
		return nil, fmt.Errorf("build ippwatch: %w\n%s", err, out)
	}
	return end, nil
}

// refusal measures how long a handshake lasts with a farm, which offers no TLS:
// every host of a scan waits for that.
func refusal(ctx context.Context, port uint16) (figure, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	began := time.Now()
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(farmBase, port).String())
	took := time.Since(began)
	if err == nil {
		return figure{}, errors.Join(errors.New("the farm speaks TLS"), c.Close())
	}
	return figure{What: "of which a refused TLS handshake waits", Value: float64(took.Microseconds()) / 1000, Unit: "ms", Most: 100}, nil
}

// scanAll runs one scan into a data directory of its own.
func scanAll(ctx context.Context, o options) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	scope := space.Scope{
		AuthorisedBy: "the user of bench", Contact: "nobody@example.net",
		Expires: time.Now().UTC().AddDate(0, 0, 2).Truncate(24 * time.Hour), Networks: networks(farmBase, o.Hosts),
	}
	scopeFile, data := filepath.Join(dir, "scope.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(scopeFile, scope.Format(), 0o600); err != nil {
		return nil, err
	}
	waits, err := refusal(ctx, o.Port)
	if err != nil {
		return nil, err
	}
	const unlimited = "1000000"
	cmd := exec.CommandContext(ctx, o.Ippwatch, "--data", data, "--quiet", "scan", "--scope", scopeFile,
		"--port", fmt.Sprint(o.Port), "--rate", unlimited, "--per-network", unlimited,
		"--concurrency", fmt.Sprint(o.Flight), "--vantage", "bench")
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Ippwatch, err)
	}
	files := mostFiles(ctx, cmd.Process.Pid)
	err = cmd.Wait()
	took := time.Since(began)
	most := files()
	if err != nil {
		return nil, fmt.Errorf("%s scan: %w", o.Ippwatch, err)
	}
	memory, err := childPeak(cmd.ProcessState)
	if err != nil {
		return nil, err
	}
	answered, size, err := kept(ctx, data)
	if err != nil {
		return nil, err
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return append(hostFigures(o, took, cpu, memory, most, answered),
		figure{What: "data directory afterwards", Value: size / float64(o.Hosts), Unit: "B/host"}, waits), nil
}

// kept counts the hosts of today and yesterday that answered with their queue,
// and the bytes of the data directory.
func kept(ctx context.Context, data string) (answered int, size float64, err error) {
	now := time.Now().UTC()
	a, err := archive.Open(ctx, data)
	if err != nil {
		return 0, 0, err
	}
	// A scan may begin before midnight.
	for _, day := range []time.Time{now.AddDate(0, 0, -1), now} {
		for r, err := range a.LatestPerTarget(ctx, access.CLI(now), day) {
			if err != nil {
				return 0, 0, errors.Join(err, a.Close())
			}
			if r.Verdict == exposure.Answered && len(r.Printers) == 1 {
				answered++
			}
		}
	}
	if err := a.Close(); err != nil {
		return 0, 0, err
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, 0, err
		}
		size += float64(info.Size())
	}
	return answered, size, nil
}
