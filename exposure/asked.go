package exposure

// An Asked is what the sensor's print service was told in one exchange, beside
// what [Print] has of it. All of it is the stranger's word: nothing in it is an
// address that was seen. Strings are as received, bounded, not escaped.
type Asked struct {
	Connection string   `json:"connection"` // the same for all exchanges on one
	Exchange   int      `json:"exchange"`   // on it, from 1
	TLS        *Offered `json:"tls,omitempty"`
	Proto      string   `json:"proto,omitempty"`  // as in the first line, such as "HTTP/1.1"
	Header     []string `json:"header,omitempty"` // its lines, in their order
	// Claims are lines of the header by which a client says who it is, or for
	// whom it speaks. They are evidence, and never become the source.
	Claims     []string `json:"claims,omitempty"`
	HTTPStatus int      `json:"http_status,omitempty"` // what we answered; 0: nothing
	Target     string   `json:"target,omitempty"`      // printer-uri or job-uri
	Requested  []string `json:"requested,omitempty"`   // requested-attributes
	// Attributes are the other operation and job attributes, as "name=value".
	Attributes []string `json:"attributes,omitempty"`
	Lenient    []string `json:"lenient,omitempty"` // breaks of RFC 8010 that were read over
	Broken     string   `json:"broken,omitempty"`  // why it was not read to its end
	// Whole is the digest of a document of which only the beginning was kept.
	Whole string `json:"whole_sha256,omitempty"`
	Kept  int64  `json:"kept_bytes,omitempty"` // of the document, in the spool
	Cut   string `json:"cut,omitempty"`        // which cap was reached, or "disk"
}

// An Offered is what a client offered in its TLS handshake.
type Offered struct {
	Name     string   `json:"name,omitempty"` // server_name
	Protos   []string `json:"alpn,omitempty"`
	Versions []string `json:"versions,omitempty"`
	Ciphers  int      `json:"ciphers,omitempty"`
	Upgraded bool     `json:"upgraded,omitempty"` // by RFC 2817, in the middle of HTTP
	Error    string   `json:"error,omitempty"`    // why the handshake failed
}
