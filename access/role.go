package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Role is what somebody is to us. The empty one is ourselves: the command line
// and the daemon, who may read the data directory anyway.
type Role string

// Roles.
const (
	RolePublic      Role = "public"      // whoever comes without a name
	RoleConstituent Role = "constituent" // answers for networks
	RoleAnalyst     Role = "analyst"     // works on cases
	RoleOperator    Role = "operator"    // runs the whole of it
	RoleAuditor     Role = "auditor"     // looks at who did what, and changes nothing
)

// Roles are all, from the narrowest.
var Roles = []Role{RolePublic, RoleConstituent, RoleAnalyst, RoleOperator, RoleAuditor}

// Named are the roles that an account or a key may have.
var Named = Roles[1:]

// A Right is one kind of thing that may be done.
type Right string

// Rights.
const (
	Read       Right = "read"       // what the tier shows
	Answer     Right = "answer"     // say of an own host: fixed, not mine, accepted
	Change     Right = "change"     // cases, filters, messages
	Administer Right = "administer" // accounts, keys, constituents, settings
	Audit      Right = "audit"      // read the audit log
)

// Rights are all of them.
var Rights = []Right{Read, Answer, Change, Administer, Audit}

// roles is who may do what. What is absent may not be done.
var roles = map[Role]struct {
	tier   Tier
	rights []Right
}{
	RolePublic:      {Public, []Right{Read}},
	RoleConstituent: {Constituent, []Right{Read, Answer}},
	RoleAnalyst:     {Operator, []Right{Read, Answer, Change}},
	RoleOperator:    {Operator, []Right{Read, Answer, Change, Administer, Audit}},
	RoleAuditor:     {Operator, []Right{Read, Audit}},
}

// ParseRole reads the role of an account or a key.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Named, Role(s)) {
		return Role(s), nil
	}
	return "", fmt.Errorf("role %q: want %s", s, words(Named))
}

// ParseRights reads rights, such as the scopes of a key.
func ParseRights(all []string) ([]Right, error) {
	var out []Right
	for _, s := range all {
		if !slices.Contains(Rights, Right(s)) {
			return nil, fmt.Errorf("scope %q: want %s", s, words(Rights))
		}
		if !slices.Contains(out, Right(s)) {
			out = append(out, Right(s))
		}
	}
	return out, nil
}

func words[T ~string](all []T) string {
	var out []string
	for _, w := range all {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

// Tier is how much the role may see; a role that is not known sees what the
// public sees.
func (r Role) Tier() Tier { return roles[r].tier }

// Rights are what the role may do.
func (r Role) Rights() []Right { return slices.Clone(roles[r].rights) }

// May reports whether the role may do it.
func (r Role) May(what Right) bool { return slices.Contains(roles[r].rights, what) }

// View is what somebody of the role sees. That of a constituent has no networks
// yet, and so no hosts: package people knows them.
func (r Role) View(who string, at time.Time) View {
	if _, known := roles[r]; !known {
		r = RolePublic
	}
	return View{Who: who, Tier: r.Tier(), Role: r, At: at}
}

// May reports whether who looks may do it. A view without a role is our own.
func (v View) May(what Right) bool {
	if v.Role == "" {
		return v.Tier == Operator
	}
	return v.Role.May(what) && (v.Scopes == nil || slices.Contains(v.Scopes, what))
}
