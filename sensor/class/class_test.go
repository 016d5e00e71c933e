package class

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ippwatch/exposure"
	"ippwatch/probe"
	"ippwatch/scanners"
	"ippwatch/wire/browse"
)

const (
	stranger = "198.51.100.7"
	us       = "192.0.2.1"
	shodan   = "134.209.95.237"
)

func judge(t testing.TB) *Judge {
	t.Helper()
	table, err := scanners.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return &Judge{Scanners: table, Own: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}}
}

func TestPacket(t *testing.T) {
	long := strings.Repeat("A", 300)
	tests := []struct {
		name, src, packet string
		class             exposure.Class
		severity          exposure.Severity
		relation          exposure.Relation
		reasons           string
	}{
		{"to itself", stranger, "0 3 http://198.51.100.7:12345/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToSelf, "asks_for_call call_to_self"},
		{"to a third party", stranger, "0 3 http://203.0.113.9:80/printers/x", exposure.Solicitation, exposure.High, exposure.ToThird, "asks_for_call call_to_third_party"},
		{"to a third party over IPv6", stranger, "0 3 http://[2a00::1]:80/classes/x", exposure.Solicitation, exposure.High, exposure.ToThird, "asks_for_call call_to_third_party"},
		{"to a private address", stranger, "0 3 ipp://10.0.0.5/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToPrivate, "asks_for_call call_to_private"},
		{"to a carrier's address", stranger, "0 3 ipp://100.64.0.5/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToPrivate, "asks_for_call call_to_private"},
		{"to itself by a number", stranger, "0 3 http://2130706433/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToLoopback, "asks_for_call call_to_loopback"},
		{"to localhost", stranger, "0 3 http://localhost:631/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToLoopback, "asks_for_call call_to_loopback"},
		{"into the operator's network", stranger, "0 3 http://192.0.2.77/printers/x", exposure.Solicitation, exposure.High, exposure.ToOwn, "asks_for_call call_into_own_network"},
		{"to a name", stranger, "0 3 http://printer.example.net/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToName, "asks_for_call call_to_name"},
		{"to a collector", stranger, "0 3 http://c1.oast.fun/printers/x", exposure.Solicitation, exposure.Medium, exposure.ToName, "asks_for_call call_to_name public_collector"},
		{"without a space, as glibc reads it", stranger, "0 3http://203.0.113.9/printers/x", exposure.Solicitation, exposure.High, exposure.ToThird, "asks_for_call call_to_third_party"},
		{"encoded", stranger, "0 3 http://203.0.113.9/%70rinters/x", exposure.Solicitation, exposure.High, exposure.ToThird, "asks_for_call call_to_third_party"},
		{"padded", stranger, "0 3 http://203.0.113.9/printers/" + long, exposure.Padded, exposure.High, exposure.ToThird, "asks_for_call call_to_third_party long_uri"},
		{"padded by a listed scanner", shodan, "0 3 http://203.0.113.9/printers/" + long, exposure.Padded, exposure.Medium, exposure.ToThird, "asks_for_call call_to_third_party long_uri listed_source"},
		{"MalwareTech's checker", stranger, "0 3 http://198.51.100.7/printers/cups_vulnerability_scan", exposure.KnownCheck, exposure.Low, exposure.ToSelf, "asks_for_call call_to_self mark_malwaretech"},
		{"its mark, aimed at somebody", stranger, "0 3 http://203.0.113.9/printers/cups_vulnerability_scan", exposure.KnownCheck, exposure.Medium, exposure.ToThird, "asks_for_call call_to_third_party mark_malwaretech"},
		{"the nuclei template", stranger, "0 3 http://x.oast.pro/printers/VulnPrinter1", exposure.KnownCheck, exposure.Low, exposure.ToName, "asks_for_call call_to_name mark_nuclei public_collector"},
		{"our own check", stranger, `0 3 http://198.51.100.7/printers/x "l" "` + probe.InfoScan + `"`, exposure.KnownCheck, exposure.Low, exposure.ToSelf, "asks_for_call call_to_self mark_ippwatch"},
		{"our own check of a fix", stranger, `0 3 http://198.51.100.7/printers/x "l" "` + probe.InfoVerify + `"`, exposure.KnownCheck, exposure.Low, exposure.ToSelf, "asks_for_call call_to_self mark_ippwatch"},
		{"a random word is no class", stranger, "0 3 http://198.51.100.7/printers/a1b2c3d4e5f6", exposure.Solicitation, exposure.Medium, exposure.ToSelf, "asks_for_call call_to_self random_path"},
		{"from a listed scanner", shodan, "0 3 http://134.209.95.237/printers/x", exposure.Research, exposure.Low, exposure.ToSelf, "asks_for_call call_to_self listed_source listed_callback"},
		{"to a listed scanner", stranger, "0 3 http://134.209.95.237/printers/x", exposure.Research, exposure.Medium, exposure.ToThird, "asks_for_call call_to_third_party listed_callback"},
		{"a path that does nothing", stranger, "0 3 http://198.51.100.7/printer/x", exposure.NoEffect, exposure.Info, "", "path_without_effect"},
		{"no host", stranger, "0 3 http:///printers/x", exposure.NoEffect, exposure.Info, "", "names_nobody"},
		{"the receiver itself", stranger, "0 3 http://192.0.2.1/printers/x", exposure.NoEffect, exposure.Info, "", "call_to_receiver"},
		{"a withdrawal", stranger, "100002 3 http://203.0.113.9/printers/x", exposure.Withdrawal, exposure.Info, "", "withdraws_queue"},
		{"something else", shodan, "\x00\x01hello", exposure.Unreadable, exposure.Info, "", "not_a_browse_packet listed_source"},
		{"a text without an end", stranger, `0 3 http://203.0.113.9/printers/x "`, exposure.Unreadable, exposure.Info, "", "unterminated_text"},
		{"nothing at all", stranger, "", exposure.Unreadable, exposure.Info, "", "not_a_browse_packet"},
	}
	j := judge(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := j.Packet(netip.MustParseAddr(tt.src), netip.MustParseAddr(us), []byte(tt.packet))
			var v exposure.Visit
			r.Tell(&v)
			if v.Class != tt.class || v.Severity != tt.severity || strings.Join(v.Reasons, " ") != tt.reasons {
				t.Errorf("%s, %s, %v\nwant %s, %s, %s", v.Class, v.Severity, v.Reasons, tt.class, tt.severity, tt.reasons)
			}
			if !v.Spoofable {
				t.Error("source_spoofable is false over UDP")
			}
			relation := exposure.Relation("")
			if v.Callback != nil {
				relation = v.Callback.Relation
			}
			if relation != tt.relation {
				t.Errorf("relation %q, want %q", relation, tt.relation)
			}
			if len(v.Evidence) != len(v.Reasons) || len(v.Reasons) == 0 || slices.Contains(v.Evidence, "") {
				t.Errorf("%d reasons, evidence %q", len(v.Reasons), v.Evidence)
			}
		})
	}
}

// TestMarkIsThatOfOurPackets: this floor cannot see the probe that writes them.
func TestMarkIsThatOfOurPackets(t *testing.T) {
	for _, info := range []string{probe.InfoScan, probe.InfoVerify} {
		if !strings.HasPrefix(info, OurInfo) {
			t.Errorf("the info text %q is not recognised by %q", info, OurInfo)
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, packet := range []string{
		"0 3 http://203.0.113.9/printers/x", "100000 3 u", `0 3 ipp://[::1]/classes/ "a" "b" "c"`, "0 3 http://0x7f.1/printers/x", "",
	} {
		f.Add([]byte(packet), []byte{198, 51, 100, 7})
	}
	j := judge(f)
	f.Fuzz(func(t *testing.T, packet, from []byte) {
		src, ok := netip.AddrFromSlice(from)
		if !ok {
			return
		}
		r := j.Packet(src, netip.MustParseAddr(us), packet)
		var v exposure.Visit
		r.Tell(&v)
		if !slices.Contains(exposure.Classes, v.Class) || len(v.Reasons) == 0 || len(v.Reasons) != len(v.Evidence) || !v.Spoofable {
			t.Errorf("%q: %+v", packet, v)
		}
		// A call-back is told of exactly when cups-browsed would make one.
		p, err := browse.Parse(packet)
		d, wrong := p.Destination()
		calls := err == nil && wrong == nil && Literal(d.Host) != netip.MustParseAddr(us)
		if (v.Callback != nil) != calls || calls && (v.Callback.Relation == "" || v.Severity == exposure.Info) {
			t.Errorf("%q: calls %t, told %+v", packet, calls, v)
		}
	})
}

func BenchmarkPacket(b *testing.B) {
	j := judge(b)
	src, dst := netip.MustParseAddr(stranger), netip.MustParseAddr(us)
	for _, tt := range []struct {
		name   string
		packet []byte
	}{
		{"70 bytes", []byte(`0 3 http://203.0.113.9:631/printers/abcdefgh "a location" "an info t"`)},
		{"1000 bytes", []byte("0 3 http://203.0.113.9:631/printers/" + strings.Repeat("A", 964))},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := j.Packet(src, dst, tt.packet)
				if !r.Calls {
					b.Fatal(r)
				}
			}
		})
	}
}
