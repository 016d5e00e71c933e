package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ippwatch/persona"
	"ippwatch/screen"
	"ippwatch/space"
)

var update = flag.Bool("update", false, "rewrite golden output in the scripts")

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main() // it exits
	}
	// What is typed waits for sockets and the pace, not for cores.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"ippwatch": main, "masked": masked})
}

// asMain makes the binary of the tests ippwatch itself, for tests that need a
// process to send signals to.
const asMain = "IPPWATCH_TEST_AS_MAIN"

// TestScripts types what a user types and compares what comes back. A script
// may say beside the usual commands:
//
//	exec masked ARGS...       ippwatch, with what differs from run to run masked
//	street NAME...            these personas play; scope.yaml names their addresses
//	street                    nobody plays any more
//	leave N                   the last N of them stop, the others go on where they were
//	until PATTERN ARGS...     ippwatch again and again until its stdout matches
//	lastrun                   $RUN is the newest run
//	rdap                      a fake RDAP server that knows customers too is at $RDAP
//	shadowserver FILE...      Shadowserver's API is played with these reports
//	zipped OUT FILE...        a zip of these files
//	history FILE              the data directory has the cases of the file: see chronicle
//	smtp [refuse ADDR CODE]   a mail server runs, mail.yaml speaks of it, mails/ has what it took: see mailOffice
//	door [NAME]               a free port, for UDP and TCP, is at $DOOR, or $NAME
//	packet FROM FILE...       these are sent from FROM to $DOOR over UDP, when it is open
//	certificates NAME...      a CA ca.crt, and NAME.crt and NAME.key that it signed
//	message STATE             $MESSAGE is the newest message in that state
//	bounce ADDR FILE          what came back from the address is in the Maildir "back"
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_DATA_HOME", e.WorkDir+"/share")
			e.Setenv("SOON", time.Now().AddDate(0, 3, 0).Format(time.DateOnly)) // a day to come
			e.Setenv("TODAY", time.Now().UTC().Format(time.DateOnly))
			e.Setenv("SUDO_USER", "j.doe") // who types it
			e.Values[onStage{}] = &stage{}
			e.Defer(e.Values[onStage{}].(*stage).clear)
			e.Values[apiOnStage{}] = &apiStage{}
			e.Defer(e.Values[apiOnStage{}].(*apiStage).clear)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"street": play, "leave": leave, "until": until, "lastrun": lastRun, "history": chronicle, "smtp": mailOffice, "bounce": bounce, "message": lastMessage,
			"door": freeDoor, "packet": sendPackets, "certificates": signCertificates,
			"rdap": fakeRDAP, "shadowserver": playAPI, "zipped": zipped,
		},
	})
}

// A stage is the street of one script.
type stage struct {
	hood *persona.Neighbourhood
	cast []persona.Persona
}

type onStage struct{}

func (s *stage) clear() {
	if s.hood != nil {
		s.hood.Close()
		s.hood = nil
	}
}

// play opens a street of the named personas and writes a scope file for it.
func play(ts *testscript.TestScript, _ bool, names []string) {
	at := ts.Value(onStage{}).(*stage)
	at.clear()
	if len(names) == 0 {
		return
	}
	var cast []persona.Persona
	for _, p := range persona.Street() {
		if slices.Contains(names, p.Name) {
			cast = append(cast, p)
		}
	}
	if len(cast) != len(names) {
		ts.Fatalf("of %q only %d are known", names, len(cast))
	}
	hood, err := openOnOnePort(cast)
	ts.Check(err)
	at.hood, at.cast = hood, cast
	scope := space.Scope{AuthorisedBy: "J. Doe, network owner", Contact: "noc@example.net", Expires: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, h := range hood.Hosts() {
		scope.Networks = append(scope.Networks, netip.PrefixFrom(h.Addr, 32))
	}
	ts.Check(os.WriteFile(ts.MkAbs("scope.yaml"), scope.Format(), 0o600))
	ts.Setenv("PORT", fmt.Sprint(hood.Ports()[0]))
	ts.Setenv("UDPPORT", fmt.Sprint(hood.UDPPort()))
}

// leave opens the street again without its last personas, whose addresses refuse
// from then on. An address hangs on the place in the street.
func leave(ts *testscript.TestScript, _ bool, args []string) {
	at := ts.Value(onStage{}).(*stage)
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	port := at.hood.Ports()[0]
	at.clear()
	if at.cast = at.cast[:len(at.cast)-n]; len(at.cast) == 0 {
		return
	}
	at.hood, err = persona.Open(context.Background(), persona.Options{Street: at.cast, Port: port, UDPPort: port})
	ts.Check(err)
}

// lastPort is that of the newest street. A port is used once only: another
// script may still look at it after its street has closed.
var lastPort atomic.Uint32

// openOnOnePort opens a street at one number over TCP and UDP, so that output
// does not depend on what else runs here.
func openOnOnePort(cast []persona.Persona) (hood *persona.Neighbourhood, err error) {
	for range 100 {
		port := uint16(8700 + lastPort.Add(1)%1000) // four digits, as the mask has
		hood, err = persona.Open(context.Background(), persona.Options{Street: cast, Port: port, UDPPort: port})
		if err == nil {
			return hood, nil
		}
	}
	return nil, err
}

const patience = 3 * time.Minute // a hang, and not a machine that is busy

// until types a command until its output matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_ = ts.Exec("ippwatch", args[1:]...) // what it says is what counts
		if out := ts.ReadFile("stdout"); want.MatchString(out) {
			return
		} else if time.Since(began) > patience {
			ts.Fatalf("ippwatch %q never said %q:\n%s%s", args[1:], args[0], out, ts.ReadFile("stderr"))
		}
	}
}

func lastRun(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("ippwatch", "runs", "--limit", "1", "--format", "csv"))
	_, line, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	run, _, _ := strings.Cut(line, ",")
	ts.Setenv("RUN", run)
}

// masks are what differs from run to run, and what is shown for it. Each is as
// long as what it stands for, so that tables stay as they are.
var masks = []struct {
	what *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{6}`), "20060102T150405Z-abcdef"},
	{regexp.MustCompile(`\b[0-9A-F]{12}\b`), "0123456789AB"}, // a case, whose name hangs on the port
	{regexp.MustCompile(`20[23]\d-\d\d-\d\d \d\d:\d\d:\d\d`), "2006-01-02 15:04:05"},
	{regexp.MustCompile(`20[23]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2006-01-02T15:04:05Z"},
	{regexp.MustCompile(`20[23]\d-\d\d-\d\d`), "2006-01-02"},
	{regexp.MustCompile(`\b\d{1,2} (January|February|March|April|May|June|July|August|September|October|November|December) 20[23]\d\b`), "2 January 2006"}, // in prose, which is not aligned
	{regexp.MustCompile(`\b\d{1,2}\. (Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember) 20[23]\d\b`), "2. Januar 2006"},
}

// masked is ippwatch for scripts that compare to the letter.
func masked() {
	cmd := exec.Command("ippwatch", os.Args[1:]...) //nolint:gosec // as the script says
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, &out, &errs
	err := cmd.Run()
	show := func(w io.Writer, text string) {
		for _, m := range masks {
			text = m.what.ReplaceAllString(text, m.mask)
		}
		if port := os.Getenv("PORT"); port != "" {
			text = strings.ReplaceAll(text, port, "PORT")
		}
		_, _ = io.WriteString(w, text) // the script compares
	}
	show(os.Stdout, out.String())
	show(os.Stderr, errs.String())
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
}

// TestMasksKeepTheLength holds what tables depend on.
func TestMasksKeepTheLength(t *testing.T) {
	when := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	for _, text := range []string{when.Format("20060102T150405Z") + "-0a1b2c", screen.Stamp(when), when.Format(time.RFC3339), when.Format(time.DateOnly)} {
		masked := text
		for _, m := range masks {
			masked = m.what.ReplaceAllString(masked, m.mask)
		}
		if masked == text || len(masked) != len(text) {
			t.Errorf("%q is masked as %q", text, masked)
		}
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"/var/lib/ippwatch": "/var/lib/ippwatch", "a b": "'a b'", "": "''", "it's": `'it'\''s'`, "$HOME": "'$HOME'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
}

// A journal keeps what many write.
type journal struct {
	mu sync.Mutex
	b  strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}
