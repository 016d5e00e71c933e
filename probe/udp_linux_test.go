package probe

import (
	"net/netip"
	"testing"

	"ippwatch/exposure"
)

func TestJudgeICMP(t *testing.T) {
	host, router := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1")
	tests := []struct {
		name       string
		by         netip.Addr
		kind, code byte
		want       exposure.Verdict
		reason     string
	}{
		{"port unreachable, by the host", host, 3, 3, exposure.Closed, ""},
		{"port unreachable, by a firewall before it", router, 3, 3, exposure.Unreachable, "ICMP type 3 code 3 (port unreachable) from 198.51.100.1"},
		{"host unreachable", router, 3, 1, exposure.Unreachable, "ICMP type 3 code 1 (host unreachable) from 198.51.100.1"},
		{"administratively prohibited", host, 3, 13, exposure.Unreachable, "ICMP type 3 code 13 (administratively prohibited) from 192.0.2.7"},
		{"time exceeded", router, 11, 0, exposure.Unreachable, "ICMP type 11 code 0 (time exceeded) from 198.51.100.1"},
		{"too big", router, 3, 4, "", ""},
		{"source quench", router, 4, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, reason := judgeICMP(host, tt.by, tt.kind, tt.code); got != tt.want || reason != tt.reason {
				t.Errorf("judgeICMP(%v, %d, %d) = %q, %q, want %q, %q", tt.by, tt.kind, tt.code, got, reason, tt.want, tt.reason)
			}
		})
	}
}
