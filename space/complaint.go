package space

import (
	"errors"
	"fmt"
)

// Complaints collect what is wrong with a text, so that a person mends all of
// it at once. A text with more than that is not what it was taken for.
type complaints struct {
	name string // of the text, such as "scope.yaml"
	errs []error
	more int
}

const maxComplaints = 20

// at adds a complaint about a place in the text, both counted from 1.
func (c *complaints) at(line, column int, err error) {
	c.add(fmt.Errorf("%s:%d:%d: %w", c.name, line, column, err))
}

func (c *complaints) add(err error) {
	if len(c.errs) == maxComplaints {
		c.more++
		return
	}
	c.errs = append(c.errs, err)
}

// full reports whether to read on is of no use.
func (c *complaints) full() bool { return c.more > 0 }

// err returns all of them as one error, a line each, or nil.
func (c *complaints) err() error {
	if c.more > 0 {
		return errors.Join(append(c.errs, errors.New("and more of the kind"))...)
	}
	return errors.Join(c.errs...)
}

// A hintError is an error with a second line for the person who can mend it.
type hintError struct {
	err  error
	hint string
}

func (e hintError) Error() string { return e.err.Error() }

func (e hintError) Unwrap() error { return e.err }

// Hint returns what helps.
func (e hintError) Hint() string { return e.hint }
