package space

// A hintError is an error with a second line for the person who can mend it.
type hintError struct {
	err  error
	hint string
}

func (e hintError) Error() string { return e.err.Error() }

func (e hintError) Unwrap() error { return e.err }

// Hint returns what helps.
func (e hintError) Hint() string { return e.hint }
