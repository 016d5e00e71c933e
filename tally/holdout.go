package tally

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"ippwatch/exposure"
)

// HeldOut reports whether the unit with the key belongs to the share that is not
// told, so that we learn what happens without us. The answer hangs on key and
// salt alone: it is the same in every process and for ever, and need not be
// kept. Raising the percentage holds out more units and lets none go; another
// salt draws anew.
func HeldOut(key, salt string, percent float64) bool {
	h := sha256.New()
	for _, part := range []string{"holdout", salt, key} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	const bits = 53 // exactly a float64
	draw := float64(binary.BigEndian.Uint64(h.Sum(nil))>>(64-bits)) / (1 << bits)
	return draw*100 < percent
}

// An Arm is the side of the comparison that a case is on. It says what may be
// done about it, not what was: a case whose mail bounced stays among the told.
type Arm string

// Arms.
const (
	Told Arm = "told"
	Held Arm = "held_out"
)

// A Holdout is how the control group is drawn. The zero Holdout draws none.
//
// The unit is the recipient, because one mail covers all exposures of a
// recipient and whoever is told of one printer looks at the next: with the case
// as the unit, the control group would hear of the treatment. Draw by case only
// where recipients are few and mails go out one by one. What is critical is
// outreach's to exempt; a case that is told by exception belongs to neither arm.
type Holdout struct {
	Percent Percent     `yaml:"percent"`
	Salt    string      `yaml:"salt"`
	By      HoldoutUnit `yaml:"by"`
}

// A HoldoutUnit is what is drawn.
type HoldoutUnit string

// Units. The zero unit is the recipient.
const (
	ByRecipient HoldoutUnit = "recipient"
	ByCase      HoldoutUnit = "case"
)

// Unit returns the key that is drawn for a case: that of its recipient, else
// that of its host.
func (h Holdout) Unit(k exposure.Key, recipient string) string {
	switch {
	case h.By == ByCase:
		return "case " + k.Case()
	case recipient != "":
		return "recipient " + recipient
	}
	return "host " + k.Addr.String()
}

// Arm returns the arm of a case; recipient is the name of the constituent that
// is told first, or empty.
func (h Holdout) Arm(k exposure.Key, recipient string) Arm {
	if h.Percent > 0 && HeldOut(h.Unit(k, recipient), h.Salt, float64(h.Percent)) {
		return Held
	}
	return Told
}

// A Percent is a share such as "10%". It is read with or without the sign.
type Percent float64

// UnmarshalText reads a percentage from 0 to 100.
func (p *Percent) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(b)), "%"), 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return fmt.Errorf("%q: want a percentage such as 10%%", b)
	}
	*p = Percent(f)
	return nil
}

// MarshalText writes what [Percent.UnmarshalText] reads.
func (p Percent) MarshalText() ([]byte, error) {
	return append(strconv.AppendFloat(nil, float64(p), 'g', -1, 64), '%'), nil
}
