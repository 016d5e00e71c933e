package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/gopenpgp/v3/crypto"
	gomail "github.com/wneessen/go-mail"
)

// ErrPGPKey says that the recipient has a key and that it cannot be used: such
// a mail is not sent at all.
var ErrPGPKey = errors.New("the recipient's PGP key cannot be used")

// CheckPGPKey reports whether mail can be encrypted to the key at the time.
func CheckPGPKey(armoured string, at time.Time) error {
	_, err := publicKey(armoured, at)
	return err
}

func publicKey(armoured string, at time.Time) (*crypto.Key, error) {
	if len(armoured) > maxPrivate*4 {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPGPKey, maxPrivate*4)
	}
	key, err := crypto.NewKeyFromArmored(armoured)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrPGPKey, plain(err.Error(), saidLimit))
	}
	name, unix := strings.ToUpper(key.GetFingerprint()), at.Unix()
	switch {
	case key.IsPrivate():
		return nil, fmt.Errorf("%w: %s is a private key", ErrPGPKey, name)
	case key.IsRevoked(unix):
		return nil, fmt.Errorf("%w: %s is revoked", ErrPGPKey, name)
	case key.IsExpired(unix):
		return nil, fmt.Errorf("%w: %s has expired", ErrPGPKey, name)
	case !key.CanEncrypt(unix):
		return nil, fmt.Errorf("%w: %s is not for encryption", ErrPGPKey, name)
	}
	return key, nil
}

// encrypt returns the bytes for the holder of the key, armoured.
func encrypt(b []byte, armoured string, at time.Time) ([]byte, error) {
	key, err := publicKey(armoured, at)
	if err != nil {
		return nil, err
	}
	pgp, err := crypto.PGP().Encryption().Recipient(key).EncryptionTime(at.Unix()).New()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrPGPKey, plain(err.Error(), saidLimit))
	}
	sealed, err := pgp.Encrypt(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrPGPKey, plain(err.Error(), saidLimit))
	}
	return sealed.ArmorBytes()
}

// entity returns the content as a MIME entity, as it is encrypted (RFC 3156,
// section 4): its own headers and no other.
func entity(msg *gomail.Msg) ([]byte, error) {
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, err
	}
	head, body, ok := bytes.Cut(b.Bytes(), []byte("\r\n\r\n"))
	if !ok {
		return nil, errors.New("the content has no end of its header")
	}
	var own bytes.Buffer
	keep := false
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			keep = bytes.HasPrefix(bytes.ToLower(line), []byte("content-"))
		}
		if keep {
			own.Write(line)
			own.WriteString("\r\n")
		}
	}
	own.WriteString("\r\n")
	own.Write(body)
	return own.Bytes(), nil
}

// sealedContent returns the two parts of RFC 3156, section 4, and what closes
// them: go-mail 0.8.1 leaves the last boundary of such a mail out. They are
// quoted-printable, as it would quote what it calls 7bit, too.
func sealedContent(armoured []byte) (msg *gomail.Msg, end string) {
	sum := sha256.Sum256(armoured)
	boundary := hex.EncodeToString(sum[:16])
	msg = empty()
	msg.SetPGPType(gomail.PGPEncrypt)
	msg.SetBoundary(boundary)
	msg.SetBodyString(gomail.TypePGPEncrypted, "Version: 1\r\n")
	msg.AddAlternativeString(gomail.TypeAppOctetStream, crlf(string(armoured)))
	return msg, "\r\n--" + boundary + "--\r\n"
}
