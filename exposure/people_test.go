package exposure_test

import (
	"testing"
	"time"

	"ippwatch/exposure"
)

func TestRecipientKey(t *testing.T) {
	for _, test := range []struct {
		name string
		r    exposure.Recipient
		want string
	}{
		{"mail in capitals", exposure.Recipient{Medium: exposure.ByMail, Address: "Abuse@Example.NET"}, "mail:abuse@example.net"},
		{"a number as people write it", exposure.Recipient{Medium: exposure.ByPhone, Address: "+49 (30) 123-45"}, "phone:+493012345"},
		{"a path keeps its capitals", exposure.Recipient{Medium: exposure.ByWebhook, Address: "https://example.net/Hook"}, "webhook:https://example.net/Hook"},
	} {
		if got := test.r.Key(); got != test.want {
			t.Errorf("%s: Key = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestImport(t *testing.T) {
	if name, ok := exposure.Import(exposure.ImportedFrom("crm")); name != "crm" || !ok {
		t.Errorf("Import(ImportedFrom(crm)) = %q, %t", name, ok)
	}
	if _, ok := exposure.Import(exposure.OwnData); ok {
		t.Error("own data passes for an import")
	}
}

func TestAssignmentHolds(t *testing.T) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	a := exposure.Assignment{From: from, To: from.AddDate(0, 0, 1)}
	open := exposure.Assignment{From: from}
	for _, test := range []struct {
		name string
		a    exposure.Assignment
		at   time.Time
		want bool
	}{
		{"before", a, from.Add(-1), false},
		{"its first moment", a, from, true},
		{"its last moment", a, from.AddDate(0, 0, 1).Add(-1), true},
		{"the moment it ends", a, from.AddDate(0, 0, 1), false},
		{"one that goes on", open, from.AddDate(9, 0, 0), true},
	} {
		if got := test.a.Holds(test.at); got != test.want {
			t.Errorf("%s: Holds = %t, want %t", test.name, got, test.want)
		}
	}
}
