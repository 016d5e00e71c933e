package archive

import (
	"context"
	"fmt"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Heard is what a run has kept so far.
type Heard struct {
	Observations int64
	Verdicts     map[exposure.Verdict]int64
	// Severity counts observations by their worst finding; those without one are
	// not among them.
	Severity map[exposure.Severity]int64
	Rules    map[string]int64
}

// Heard counts what a run has kept, without reading any of it; only the operator
// sees it.
func (a *Archive) Heard(ctx context.Context, view access.View, run string) (Heard, error) {
	h := Heard{Verdicts: make(map[exposure.Verdict]int64), Severity: make(map[exposure.Severity]int64), Rules: make(map[string]int64)}
	if view.Tier != access.Operator {
		return h, nil
	}
	rows, err := a.read.QueryContext(ctx, `SELECT k.verdict, t.body, sum(n) FROM
		(SELECT face, count(*) AS n FROM observation WHERE run = (SELECT id FROM run WHERE name = ?) GROUP BY face) AS seen
		JOIN face f ON f.id = seen.face JOIN kind k ON k.id = f.kind JOIN tagset t ON t.id = f.tags GROUP BY k.verdict, t.body`, blob(run))
	if err != nil {
		return h, fmt.Errorf("count what run %s kept: %w", run, err)
	}
	defer rows.Close()
	for rows.Next() {
		var verdict, body string
		var n int64
		if err := rows.Scan(&verdict, &body, &n); err != nil {
			return h, fmt.Errorf("count what run %s kept: %w", run, err)
		}
		h.Observations += n
		h.Verdicts[exposure.Verdict(verdict)] += n
		worst, rules, err := splitTags(body)
		if err != nil {
			return h, fmt.Errorf("count what run %s kept: %w", run, err)
		}
		if worst != "" {
			h.Severity[worst] += n
		}
		for _, rule := range rules {
			h.Rules[rule] += n
		}
	}
	if err := rows.Err(); err != nil {
		return h, fmt.Errorf("count what run %s kept: %w", run, err)
	}
	return h, nil
}
