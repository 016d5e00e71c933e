package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary be its own worker, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == workerWord {
		if err := work(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestFiftyHostsAnswer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers for every address of 127.0.0.0/8")
	}
	var out, errs strings.Builder
	if err := run(t.Context(), []string{"-only", "grab", "-hosts", "50", "-flight", "10", "-rounds", "2"}, &out, &errs); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	for _, want := range []string{"grab alone", "(50 hosts, 10 in flight)", "ms/host", "50 hosts"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output has no %q:\n%s", want, out.String())
		}
	}
}

func TestWrongUse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("bench says there that it wants Linux")
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"a measurement that is none", []string{"-only", "all"}, `-only "all": want grab, scan, silent, archive, desk, sensor, dashboard, web`},
		{"an argument", []string{"grab"}, `"grab": only flags are understood`},
		{"more hosts than the network has", []string{"-hosts", "65537"}, "-hosts 65537: want 1 to 65536"},
		{"no round", []string{"-rounds", "0"}, "-rounds 0: want 1 to 20"},
		{"a long walk shorter than the short one", []string{"-silent", "9999"}, "-silent 9999: want 10000 to 16777216"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errs strings.Builder
			err := run(t.Context(), test.args, &out, &errs)
			if err == nil || err.Error() != test.want {
				t.Errorf("run(%q) = %v, want %s", test.args, err, test.want)
			}
		})
	}
}

func TestNetworksAreExactlyTheHosts(t *testing.T) {
	for _, n := range []int{1, 2, 50, 20_000, 65_535, mostHosts} {
		hosts := farmHosts(n)
		i := 0
		for _, p := range networks(farmBase, n) {
			if p != p.Masked() {
				t.Fatalf("%d hosts: %s has host bits", n, p)
			}
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				if i >= n || hosts[i] != a {
					t.Fatalf("%d hosts: %s at place %d", n, a, i)
				}
				i++
			}
		}
		if i != n {
			t.Errorf("%d hosts: the networks have %d", n, i)
		}
	}
	allowed := func(addr string) bool {
		return loopback{}.Allow(netip.MustParseAddr(addr), time.Time{}) == nil
	}
	if !allowed("127.80.0.1") || allowed("198.51.100.1") {
		t.Error("the gate is not that of loopback")
	}
}

func TestTable(t *testing.T) {
	round := func(speed float64) []figure {
		return []figure{
			{What: "speed", Value: speed, Unit: "hosts/s", Least: 5000},
			{What: "CPU", Value: 0.1234, Unit: "ms/host", Most: 0.25},
			{What: "memory", Value: 100.4, Unit: "MB", Most: 100},
			{What: "size", Value: -12.34, Unit: "B"},
		}
	}
	var out strings.Builder
	if err := table(&out, median([][]figure{round(4000), round(1_234_567), round(6001)})); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"speed 6,001 hosts/s at least 5,000 met 4,000 - 1,234,567",
		"CPU 0.123 ms/host at most 0.25 met",
		"memory 100 MB at most 100 MISSED",
		"size -12.3 B",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestStreetMovesTwoInAHundred(t *testing.T) {
	s := newStreet(5000)
	locations := func(day int) map[netip.Addr]string {
		m := make(map[netip.Addr]string)
		for batch := range s.day(day) {
			for _, o := range batch {
				m[o.Addr] = o.Printers[0].Get("printer-location")
			}
		}
		return m
	}
	before := locations(0)
	for day := 1; day <= repeatedDays; day++ {
		after, moved := locations(day), 0
		for a, l := range after {
			if before[a] != l {
				moved++
			}
		}
		if len(after) != 5000 || moved != 100 {
			t.Errorf("day %d: %d of %d hosts moved, want 100 of 5000", day, moved, len(after))
		}
		before = after
	}
}

// TestSurgesAreFoundAndNotInvented holds package surge to what facts/sensor.md,
// section 5, says can be had.
func TestSurgesAreFoundAndNotInvented(t *testing.T) {
	scores := compare(6, 6, skySpread)
	ours := scores[len(scores)-1]
	if ours.name != "ippwatch: both" || ours.False > 0.1 {
		t.Errorf("%s: %.2f false alerts a week", ours.name, ours.False)
	}
	for i, most := range []float64{1, 12, 30, 48} {
		if ours.Hit[i] < 1 || ours.Delay[i] > most {
			t.Errorf("%s: found after %.0f h (%.0f%%), want all, within %.0f h", shapes[i].name, ours.Delay[i], 100*ours.Hit[i], most)
		}
	}
	for _, s := range scores {
		if strings.HasPrefix(s.name, "Poisson") && s.False < 3 {
			t.Errorf("a Poisson has %.2f false alerts a week: the sky is not that of the page", s.False)
		}
	}
}
