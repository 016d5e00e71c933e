package shadowserver

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ippwatch/report"
)

// linkPath is where reports lie. It is part of the id: their clients put the id
// behind "https://HOST/".
const linkPath = "/dl/"

// linkPurpose names the secret of the links.
const linkPurpose = "links of the reports api 1"

// linkLife is how long the link of a report is good: from its day on, or for an
// older report from the week in which it is listed. A client knows a report by
// its link, so that stays the same as long as it can.
const linkLife = 31 * 24 * time.Hour

func linkEnd(day, now time.Time) time.Time {
	if end := day.Add(linkLife); now.Before(end.AddDate(0, 0, -1)) {
		return end
	}
	const week = 7 * 24 * time.Hour
	return now.UTC().Truncate(week).Add(2 * week)
}

// A link opens one report to whoever has it, until it is over.
type link struct {
	key, list string
	kind      report.Type
	day, over time.Time
}

var errLink = errors.New("not a link of ours")

// seal returns the token of a link. It is always the same one: the nonce is made
// of what is sealed, as RFC 5297 does it, so two links have one only if they are
// one.
func (l link) seal(secret []byte) (string, error) {
	box, err := boxOf(secret)
	if err != nil {
		return "", err
	}
	plain := fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%d", l.key, l.list, l.kind, l.day.Unix(), l.over.Unix())
	nonce := sum(secret, "nonce", plain)[:box.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(box.Seal(nonce, nonce, plain, nil)), nil
}

// openLink returns the link of a token, or errLink.
func openLink(secret []byte, token string) (l link, err error) {
	box, err := boxOf(secret)
	if err != nil {
		return l, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(sealed) < box.NonceSize() || len(sealed) > 1024 {
		return l, errLink
	}
	plain, err := box.Open(nil, sealed[:box.NonceSize()], sealed[box.NonceSize():], nil)
	if err != nil {
		return l, errLink
	}
	part := strings.Split(string(plain), "\n")
	if len(part) != 5 {
		return l, errLink
	}
	day, err := strconv.ParseInt(part[3], 10, 64)
	if err != nil {
		return l, errLink
	}
	end, err := strconv.ParseInt(part[4], 10, 64)
	if err != nil {
		return l, errLink
	}
	return link{part[0], part[1], report.Type(part[2]), time.Unix(day, 0).UTC(), time.Unix(end, 0).UTC()}, nil
}

func boxOf(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(sum(secret, "key", nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sum(secret []byte, what string, text []byte) []byte {
	h := hmac.New(sha256.New, secret)
	fmt.Fprintf(h, "%s\n", what)
	h.Write(text)
	return h.Sum(nil)
}
