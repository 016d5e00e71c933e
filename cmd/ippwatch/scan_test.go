package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/exposure"
	"ippwatch/found"
	"ippwatch/persona"
	"ippwatch/screen"
	"ippwatch/space"
)

// typed runs a command in this process as a user would type it.
func typed(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	s := &street{in: strings.NewReader(""), now: time.Now, Screen: screen.Screen{Out: &out, Err: &errs}}
	root := s.root()
	root.SetArgs(args)
	code = s.exit(root.ExecuteContext(ctx))
	return out.String(), errs.String(), code
}

// A neighbourhood is a street of personas with a scope file for it.
type neighbourhood struct {
	*persona.Neighbourhood
	scope, data string
}

func (n neighbourhood) scan(extra ...string) []string {
	args := []string{
		"--data", n.data, "scan", "--scope", n.scope, "--rate", "400", "--per-network", "400",
		"--udp-port", fmt.Sprint(n.UDPPort()), "--callback", "127.0.0.1:0", "--grace", "5s", // it is always waited for: as short as a busy machine allows
	}
	for _, p := range n.Ports() {
		args = append(args, "--port", fmt.Sprint(p))
	}
	return append(args, extra...)
}

func openStreet(t *testing.T, street []persona.Persona) neighbourhood {
	t.Helper()
	hood, err := persona.Open(t.Context(), persona.Options{Street: street})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hood.Close)
	dir := t.TempDir()
	scope := space.Scope{AuthorisedBy: "a test", Contact: "test@example.net", Expires: time.Now().Add(time.Hour), Networks: hood.Networks()}
	n := neighbourhood{hood, filepath.Join(dir, "scope.yaml"), filepath.Join(dir, "data")}
	if err := os.WriteFile(n.scope, scope.Format(), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestScanSaysWhatIsTrue scans the whole cast and compares what is said of each
// host with what is true of it, and every line with the published schema.
func TestScanSaysWhatIsTrue(t *testing.T) {
	n := openStreet(t, nil)
	stdout, stderr, code := typed(t.Context(), n.scan("--udp", "--admin", "--jobs", "--all", "--format", "ndjson")...)
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	schema := compileSchema(t)
	said := make(map[string]exposure.Observation)
	for line := range strings.Lines(stdout) {
		var document any
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
		var o exposure.Observation
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		said[fmt.Sprintf("%s %s", o.Transport, o.Addr)] = o
	}
	for _, h := range n.Hosts() {
		t.Run(h.Name, func(t *testing.T) {
			compareTCP(t, h, said[fmt.Sprintf("tcp %s", h.Addr)])
			if h.Truth.UDP != "" {
				compareUDP(t, h, said[fmt.Sprintf("udp %s", h.Addr)])
			}
		})
	}
}

func compareTCP(t *testing.T, h persona.Host, o exposure.Observation) {
	t.Helper()
	if !slices.Contains(h.Truth.TCP, o.Verdict) {
		t.Errorf("verdict over TCP = %q (%s), want one of %q", o.Verdict, o.Reason, h.Truth.TCP)
	}
	if o.Verdict == exposure.Answered && !o.Simulated {
		t.Error("does not say that it is simulated")
	}
	want := slices.Concat(h.Truth.Rules, h.Truth.Admin, h.Truth.Jobs)
	got := slices.DeleteFunc(found.Rules(o.Findings), func(id string) bool {
		return slices.Contains(h.Truth.MayAlso, id) && !slices.Contains(want, id)
	})
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(slices.Compact(want), got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("findings over TCP (-want +got):\n%s", diff)
	}
}

func compareUDP(t *testing.T, h persona.Host, o exposure.Observation) {
	t.Helper()
	if o.Verdict != h.Truth.UDP {
		t.Errorf("verdict over UDP = %q (%s), want %q", o.Verdict, o.Reason, h.Truth.UDP)
	}
	got := found.Rules(o.Findings)
	slices.Sort(got)
	if diff := cmp.Diff(h.Truth.UDPRules, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("findings over UDP (-want +got):\n%s", diff)
	}
	if o.Callback != nil && o.Callback.Posts != h.Truth.Posts {
		t.Errorf("%d calls, want %d", o.Callback.Posts, h.Truth.Posts)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../docs/observation.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
