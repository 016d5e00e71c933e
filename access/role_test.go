package access_test

import (
	"slices"
	"testing"
	"time"

	"ippwatch/access"
)

// TestRoles is the whole table, written a second time by what each is for.
func TestRoles(t *testing.T) {
	for _, test := range []struct {
		role                                    access.Role
		tier                                    access.Tier
		read, answer, change, administer, audit bool
	}{
		{"", access.Public, false, false, false, false, false},
		{"root", access.Public, false, false, false, false, false},
		{access.RolePublic, access.Public, true, false, false, false, false},
		{access.RoleConstituent, access.Constituent, true, true, false, false, false},
		{access.RoleAnalyst, access.Operator, true, true, true, false, false},
		{access.RoleOperator, access.Operator, true, true, true, true, true},
		{access.RoleAuditor, access.Operator, true, false, false, false, true},
	} {
		if got := test.role.Tier(); got != test.tier {
			t.Errorf("%q.Tier() = %v, want %v", test.role, got, test.tier)
		}
		for right, want := range map[access.Right]bool{
			access.Read: test.read, access.Answer: test.answer, access.Change: test.change, access.Administer: test.administer, access.Audit: test.audit,
		} {
			if got := test.role.May(right); got != want {
				t.Errorf("%q.May(%s) = %t, want %t", test.role, right, got, want)
			}
		}
	}
}

func TestRoleView(t *testing.T) {
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	if v := access.Role("root").View("x", at); v.Tier != access.Public || v.Role != access.RolePublic || v.May(access.Change) {
		t.Errorf("a role that is not known sees %+v", v)
	}
	if v := access.RoleAnalyst.View("ann", at); v.Who != "ann" || v.Tier != access.Operator || v.May(access.Audit) || !v.May(access.Change) {
		t.Errorf("an analyst sees %+v", v)
	}
	if v := access.CLI(at); !v.May(access.Audit) {
		t.Error("the command line may not read the audit log")
	}
	if (access.View{}).May(access.Read) {
		t.Error("the zero view may read")
	}
}

func TestParseRole(t *testing.T) {
	for _, r := range access.Named {
		if got, err := access.ParseRole(string(r)); err != nil || got != r {
			t.Errorf("ParseRole(%s) = %s, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "public", "Operator", "root"} {
		if got, err := access.ParseRole(s); err == nil {
			t.Errorf("ParseRole(%q) = %s", s, got)
		}
	}
	got, err := access.ParseRights([]string{"read", "change", "read"})
	if err != nil || !slices.Equal(got, []access.Right{access.Read, access.Change}) {
		t.Errorf("ParseRights = %v, %v", got, err)
	}
	if _, err := access.ParseRights([]string{"everything"}); err == nil {
		t.Error("ParseRights takes everything")
	}
}
