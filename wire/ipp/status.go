package ipp

import "fmt"

// A Status is the code of a response (RFC 8011, appendix B, and the IANA
// registry of IPP status codes; 0x0280 is that of CUPS).
type Status uint16

// Status codes on which a conversation turns.
const (
	StatusOK               Status = 0x0000
	StatusBadRequest       Status = 0x0400
	StatusSubstituted      Status = 0x0001
	StatusForbidden        Status = 0x0401
	StatusNotAuthenticated Status = 0x0402
	StatusNotAuthorized    Status = 0x0403
	StatusNotPossible      Status = 0x0404
	StatusNotFound         Status = 0x0406
	StatusFormat           Status = 0x040a
	StatusAttributes       Status = 0x040b
	StatusCharset          Status = 0x040d
	StatusCompression      Status = 0x040f
	StatusDocumentAccess   Status = 0x0412
	StatusOperationUnknown Status = 0x0501
	StatusVersionNotSpoken Status = 0x0503
)

// Successful reports whether the code is of the successful class.
func (s Status) Successful() bool { return s < 0x0100 }

// String returns the registered name, such as "client-error-not-found", or the
// code: "0x0fff".
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("0x%04x", uint16(s))
}

var statusNames = map[Status]string{
	0x0000: "successful-ok",
	0x0001: "successful-ok-ignored-or-substituted-attributes",
	0x0002: "successful-ok-conflicting-attributes",
	0x0003: "successful-ok-ignored-subscriptions",
	0x0004: "successful-ok-ignored-notifications",
	0x0005: "successful-ok-too-many-events",
	0x0006: "successful-ok-but-cancel-subscription",
	0x0007: "successful-ok-events-complete",
	0x0200: "redirection-other-site",
	0x0280: "cups-see-other",
	0x0400: "client-error-bad-request",
	0x0401: "client-error-forbidden",
	0x0402: "client-error-not-authenticated",
	0x0403: "client-error-not-authorized",
	0x0404: "client-error-not-possible",
	0x0405: "client-error-timeout",
	0x0406: "client-error-not-found",
	0x0407: "client-error-gone",
	0x0408: "client-error-request-entity-too-large",
	0x0409: "client-error-request-value-too-long",
	0x040a: "client-error-document-format-not-supported",
	0x040b: "client-error-attributes-or-values-not-supported",
	0x040c: "client-error-uri-scheme-not-supported",
	0x040d: "client-error-charset-not-supported",
	0x040e: "client-error-conflicting-attributes",
	0x040f: "client-error-compression-not-supported",
	0x0410: "client-error-compression-error",
	0x0411: "client-error-document-format-error",
	0x0412: "client-error-document-access-error",
	0x0413: "client-error-attributes-not-settable",
	0x0414: "client-error-ignored-all-subscriptions",
	0x0415: "client-error-too-many-subscriptions",
	0x0416: "client-error-ignored-all-notifications",
	0x0417: "client-error-print-support-file-not-found",
	0x0418: "client-error-document-password-error",
	0x0419: "client-error-document-permission-error",
	0x041a: "client-error-document-security-error",
	0x041b: "client-error-document-unprintable-error",
	0x041c: "client-error-account-info-needed",
	0x041d: "client-error-account-closed",
	0x041e: "client-error-account-limit-reached",
	0x041f: "client-error-account-authorization-failed",
	0x0420: "client-error-not-fetchable",
	0x0500: "server-error-internal-error",
	0x0501: "server-error-operation-not-supported",
	0x0502: "server-error-service-unavailable",
	0x0503: "server-error-version-not-supported",
	0x0504: "server-error-device-error",
	0x0505: "server-error-temporary-error",
	0x0506: "server-error-not-accepting-jobs",
	0x0507: "server-error-busy",
	0x0508: "server-error-job-canceled",
	0x0509: "server-error-multiple-document-jobs-not-supported",
	0x050a: "server-error-printer-is-deactivated",
	0x050b: "server-error-too-many-jobs",
	0x050c: "server-error-too-many-documents",
}
