package track

import (
	"net/netip"
	"testing"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

const (
	uuidA = "urn:uuid:4c8b0f6e-52a1-4d0e-9a66-1f6f1c7a9b01"
	uuidB = "urn:uuid:4c8b0f6e-52a1-4d0e-9a66-1f6f1c7a9b02"
)

func TestDevice(t *testing.T) {
	for _, c := range []struct {
		name string
		ids  []string
		want string
	}{
		{"none", nil, ""},
		{"one", []string{uuidA}, uuidA},
		{"in capitals", []string{"URN:UUID:4C8B0F6E-52A1-4D0E-9A66-1F6F1C7A9B01"}, uuidA},
		{"the least of two, in any order", []string{uuidB, uuidA}, uuidA},
		{"nil", []string{"urn:uuid:00000000-0000-0000-0000-000000000000"}, ""},
		{"all ones", []string{"urn:uuid:ffffffff-ffff-ffff-ffff-ffffffffffff"}, ""},
		{"as a factory types it", []string{"urn:uuid:12345678-1234-1234-1234-123456789012"}, ""},
		{"no uuid at all", []string{"printer 1", "urn:uuid:", "urn:uuid:4c8b0f6e-52a1-4d0e-9a66-1f6f1c7a9bxx"}, ""},
	} {
		var o exposure.Observation
		for _, id := range c.ids {
			o.Printers = append(o.Printers, exposure.Printer{Attributes: map[string][]string{"printer-uuid": {id}}})
		}
		if got := Device(&o); got != c.want {
			t.Errorf("%s: Device = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTies(t *testing.T) {
	old, now := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	made := func(a netip.Addr, device string, first, last float64) exposure.Exposure {
		return exposure.Exposure{
			Key:       exposure.Key{Addr: a, Transport: exposure.TCP, Port: 631, Rule: "open-ipp"},
			Condition: exposure.Confirmed, FirstSeen: at(first), LastSeen: at(last), Device: device,
		}
	}
	day := at(9.5) // midnight: noon of day 10 lies in it
	once := Seen{uuidA: {now}}
	yes := func(exposure.Exposure, exposure.Exposure) bool { return true }
	moved := made(old, uuidA, 0, 9)
	for _, c := range []struct {
		name string
		seen Seen
		open []exposure.Exposure
		same func(a, b exposure.Exposure) bool
		want int
	}{
		{"a device with a new address", once, []exposure.Exposure{moved, made(now, uuidA, 10, 10)}, yes, 1},
		{"it answered at two addresses", Seen{uuidA: {old, now}}, []exposure.Exposure{moved, made(now, uuidA, 10, 10)}, yes, 0},
		{"another constituent", once, []exposure.Exposure{moved, made(now, uuidA, 10, 10)}, func(exposure.Exposure, exposure.Exposure) bool { return false }, 0},
		{"another device", once, []exposure.Exposure{made(old, uuidB, 0, 9), made(now, uuidA, 10, 10)}, yes, 0},
		{"no device", once, []exposure.Exposure{made(old, "", 0, 9), made(now, "", 10, 10)}, yes, 0},
		{"the new case is older than the day", once, []exposure.Exposure{moved, made(now, uuidA, 8, 10)}, yes, 0},
		{"the former was seen on the day", once, []exposure.Exposure{made(old, uuidA, 0, 10), made(now, uuidA, 10, 10)}, yes, 0},
		{"two could be the ancestor", once, []exposure.Exposure{moved, made(netip.MustParseAddr("192.0.2.3"), uuidA, 0, 8), made(now, uuidA, 10, 10)}, yes, 0},
	} {
		if got := Ties(day, c.seen, c.open, c.same); len(got) != c.want {
			t.Errorf("%s: Ties = %v, want %d", c.name, got, c.want)
		}
	}
}

func TestTieKeepsTheHistoryAndUntieGivesItBack(t *testing.T) {
	tr, s := fresh(t)
	ctx := t.Context()
	sight := func(day float64, addr string) exposure.Key {
		o := look(exposure.Scan, at(day), exposure.Answered, "open-ipp")
		o.Addr, o.ID = netip.MustParseAddr(addr), exposure.ID(addr+at(day).String())
		o.Printers = []exposure.Printer{{Attributes: map[string][]string{"printer-uuid": {uuidA}}}}
		if _, err := tr.Fold(ctx, []exposure.Observation{o}); err != nil {
			t.Fatal(err)
		}
		return exposure.Key{Addr: o.Addr, Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}
	}
	get := func(k exposure.Key) exposure.Exposure {
		t.Helper()
		e, err := s.Exposure(ctx, access.CLI(noon), k)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	old := sight(0, "192.0.2.1")
	sight(5, "192.0.2.1")
	for _, step := range []Step{Notify, Accept} {
		if _, err := tr.Take(ctx, []exposure.Key{old}, order(step, 6)); err != nil {
			t.Fatal(err)
		}
	}
	now := sight(10, "192.0.2.2")
	tie := Tie{From: old, To: now.Addr, Device: uuidA, Day: at(9.5)}
	same := func(exposure.Exposure, exposure.Exposure) bool { return true }
	made, err := tr.TieDay(ctx, at(9.5), Seen{uuidA: {now.Addr}}, same, at(11))
	if err != nil || len(made) != 1 || made[0] != tie {
		t.Fatalf("TieDay = %v, %v, want %v", made, err, tie)
	}
	if made, err := tr.TieDay(ctx, at(9.5), Seen{uuidA: {now.Addr}}, same, at(11)); err != nil || len(made) != 0 {
		t.Errorf("TieDay again = %v, %v", made, err)
	}
	if err := tr.Tie(ctx, tie, "track", at(11)); err == nil {
		t.Error("a tie is made twice")
	}
	if e := get(now); !e.FirstSeen.Equal(at(0)) || e.TimesSeen != 3 || e.Contact != exposure.Notified || e.Ruling != exposure.Accepted || e.MovedFrom != old.Addr {
		t.Errorf("the heir is %+v", e)
	}
	if e := get(old); e.Work() || e.Word() != "moved" {
		t.Errorf("the former is %+v", e)
	}
	n := 0
	for _, err := range s.Exposures(ctx, access.CLI(noon), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d cases are listed, want the heir", n)
	}

	if err := tr.Untie(ctx, now, old.Addr, at(10), "j.doe", "two devices", at(12)); err != nil {
		t.Fatal(err)
	}
	if e := get(now); !e.FirstSeen.Equal(at(10)) || e.TimesSeen != 1 || e.Contact != exposure.NotContacted || e.Ruling != exposure.NoRuling || e.MovedFrom.IsValid() {
		t.Errorf("after untying, the newer is %+v", e)
	}
	if e := get(old); e.MovedTo.IsValid() || e.Ruling != exposure.Accepted || e.TimesSeen != 2 {
		t.Errorf("after untying, the former is %+v", e)
	}

	// Tied once more, and then somebody else answers at the old address.
	if err := tr.Tie(ctx, tie, "track", at(13)); err != nil {
		t.Fatal(err)
	}
	sight(14, "192.0.2.1")
	if e := get(old); e.MovedTo.IsValid() || e.Cycle != 2 || e.TimesSeen != 1 || e.Ruling != exposure.NoRuling || !e.FirstSeen.Equal(at(14)) {
		t.Errorf("who answers at the old address is %+v", e)
	}
}
