// Package apply loads an nftables filter on this host so that it goes away by
// itself unless somebody confirms it.
//
// What takes it off again is armed before anything is loaded: a process of its
// own, in a session of its own, that outlives the command, its terminal and
// kill -9. It waits for a file to be renamed, and a rename succeeds once: either
// who confirms has it, or who goes back.
package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The files of an application. The state is the name of one of them.
const (
	newFile   = "new.nft"      // what is loaded
	oldFile   = "rollback.nft" // what is loaded to go back
	untilFile = "until"        // when it goes back by itself
	logFile   = "guard.log"

	armedFile  = "armed"     // the guard waits
	keptFile   = "confirmed" // somebody confirmed, or nothing was loaded
	undoneFile = "undone"    // the guard goes back, or has
)

// An Application is one filter that is tried.
type Application struct {
	dir string
	nft string
}

// ErrPending is for a second application while one waits to be confirmed.
var ErrPending = errors.New("another filter waits to be confirmed")

// ErrOver is for a confirmation that comes too late.
var ErrOver = errors.New("nothing waits to be confirmed")

// stale is how long after its time a guard is taken for dead: the host started
// again meanwhile, and its rules with it.
const stale = time.Minute

// Prepare writes what will be loaded, and what goes back to what there is now,
// and has nft check both. Nothing is changed. The directory is for this alone.
func Prepare(ctx context.Context, now time.Time, dir, table, text string) (*Application, error) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return nil, fmt.Errorf("find nft: %w", err)
	}
	a := &Application{dir, nft}
	if until, waits := a.Pending(); waits && now.Before(until.Add(stale)) {
		return nil, fmt.Errorf("%w until %s", ErrPending, until.UTC().Format(time.RFC3339))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	for _, name := range []string{armedFile, keptFile, undoneFile, untilFile, logFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	running, err := a.Running(ctx, table)
	if err != nil {
		return nil, err
	}
	back := fmt.Sprintf("add table inet %s\ndelete table inet %s\n%s", table, table, running)
	for name, body := range map[string]string{newFile: text, oldFile: back} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		if _, err := a.run(ctx, "-c", "-f", filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("check %s: %w", name, err)
		}
	}
	return a, nil
}

// Running is the table as it is now, with its counters; empty when there is none.
func (a *Application) Running(ctx context.Context, table string) (string, error) {
	tables, err := a.run(ctx, "list", "tables", "inet")
	if err != nil {
		return "", fmt.Errorf("list tables: %w", err)
	}
	if !strings.Contains(tables+"\n", "table inet "+table+"\n") {
		return "", nil
	}
	text, err := a.run(ctx, "list", "table", "inet", table)
	if err != nil {
		return "", fmt.Errorf("list the table: %w", err)
	}
	return text, nil
}

// run runs nft and returns what it prints, or what it complains about.
func (a *Application) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, a.nft, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		return "", fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, first)
	}
	return out.String(), nil
}

// Load arms the guard, which goes back after the time, and loads the filter. The
// command is this program's own, to which the directory is added.
func (a *Application) Load(ctx context.Context, now time.Time, within time.Duration, guard []string) error {
	until := now.Add(within)
	if err := os.WriteFile(a.file(untilFile), []byte(until.UTC().Format(time.RFC3339Nano)), 0o600); err != nil {
		return fmt.Errorf("arm the rollback: %w", err)
	}
	if err := a.arm(ctx, guard); err != nil {
		return fmt.Errorf("arm the rollback: %w: nothing was loaded", err)
	}
	if _, err := a.run(ctx, "-f", a.file(newFile)); err != nil {
		return errors.Join(fmt.Errorf("load: %w", err), os.Rename(a.file(armedFile), a.file(keptFile)))
	}
	return nil
}

func (a *Application) file(name string) string { return filepath.Join(a.dir, name) }

// armPatience is how long a guard may take to begin.
const armPatience = 10 * time.Second

// arm starts the guard and waits until it says that it waits.
func (a *Application) arm(ctx context.Context, guard []string) error {
	log, err := os.Create(a.file(logFile))
	if err != nil {
		return err
	}
	defer log.Close()
	// Not bound to the context: it has to live on when we do not.
	cmd := exec.Command(guard[0], append(guard[1:], a.dir)...) //nolint:noctx // it outlives the command
	cmd.Stdout, cmd.Stderr = log, log
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	patience := time.NewTimer(armPatience)
	defer patience.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(a.file(armedFile)); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			said, _ := os.ReadFile(a.file(logFile))
			return fmt.Errorf("the guard ended at once (%w): %s", err, strings.TrimSpace(string(said)))
		case <-patience.C:
			return errors.Join(errors.New("the guard did not begin"), cmd.Process.Kill())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), cmd.Process.Kill())
		case <-tick.C:
		}
	}
}

// Guard waits until somebody confirms or the time is over, and then goes back.
// It is the whole of the process that Load starts.
func Guard(ctx context.Context, dir string, now func() time.Time) error {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return fmt.Errorf("find nft: %w", err)
	}
	a := &Application{dir, nft}
	until, err := a.until()
	if err != nil {
		return err
	}
	if err := os.WriteFile(a.file(armedFile), nil, 0o600); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for now().Before(until) {
		if _, err := os.Stat(a.file(armedFile)); errors.Is(err, fs.ErrNotExist) {
			break // confirmed, or somebody wants to go back now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	if os.Rename(a.file(armedFile), a.file(undoneFile)) != nil {
		if _, err := os.Stat(a.file(undoneFile)); err != nil {
			return nil // confirmed
		}
	}
	// It has to succeed: somebody may be locked out.
	for try := 0; ; try++ {
		_, err := a.run(context.WithoutCancel(ctx), "-f", a.file(oldFile))
		if err == nil {
			return os.WriteFile(a.file(undoneFile), []byte("done"), 0o600)
		}
		if try == 60 {
			return fmt.Errorf("go back: %w", err)
		}
		<-tick.C
	}
}

func (a *Application) until() (time.Time, error) {
	text, err := os.ReadFile(a.file(untilFile))
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time until which is waited: %w", err)
	}
	return time.Parse(time.RFC3339Nano, string(text))
}

// Open returns the application of a directory.
func Open(dir string) *Application { return &Application{dir: dir} }

// Pending reports whether a filter waits to be confirmed, and until when.
func (a *Application) Pending() (time.Time, bool) {
	if _, err := os.Stat(a.file(armedFile)); err != nil {
		return time.Time{}, false
	}
	until, err := a.until()
	return until, err == nil
}

// Confirm keeps the filter.
func (a *Application) Confirm() error {
	if err := os.Rename(a.file(armedFile), a.file(keptFile)); err != nil {
		return ErrOver
	}
	return nil
}

// Undo lets the guard go back now.
func (a *Application) Undo() error {
	if err := os.Rename(a.file(armedFile), a.file(undoneFile)); err != nil {
		return ErrOver
	}
	return nil
}

// State is how far it is: armed, confirmed, going back, or gone back.
type State string

// The states; none is before the first.
const (
	None      State = "none"
	Armed     State = "armed"
	Confirmed State = "confirmed"
	Going     State = "going back"
	Gone      State = "gone back"
)

// State looks at the files.
func (a *Application) State() State {
	for _, one := range []struct {
		file  string
		state State
	}{{armedFile, Armed}, {keptFile, Confirmed}} {
		if _, err := os.Stat(a.file(one.file)); err == nil {
			return one.state
		}
	}
	text, err := os.ReadFile(a.file(undoneFile))
	switch {
	case err != nil:
		return None
	case string(text) == "done":
		return Gone
	}
	return Going
}
