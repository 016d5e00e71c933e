package report

// A Column is one column of a report, for those who look at rows one by one.
type Column struct {
	Name string
	// Number says that what is not empty is a number.
	Number bool

	value func(r *Row) string
}

// Value is what the row has there, as it stands in the file.
func (c Column) Value(r *Row) string { return readable(c.value(r)) }

// Definition is the columns of the report, in their order.
func (t Type) Definition() []Column {
	columns := t.columns(false)
	all := make([]Column, 0, len(columns))
	for _, c := range columns {
		all = append(all, Column{c.name, numeric[c.name], c.value})
	}
	return all
}
