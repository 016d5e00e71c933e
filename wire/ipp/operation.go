package ipp

import "fmt"

// An Operation is the code of a request (RFC 8011, section 5.4.15, and the
// IANA registry of IPP operations; 0x4001 and up are those of CUPS).
type Operation uint16

// Operations that we ask, or hear.
const (
	PrintJob             Operation = 0x0002
	PrintURI             Operation = 0x0003
	ValidateJob          Operation = 0x0004
	CreateJob            Operation = 0x0005
	SendDocument         Operation = 0x0006
	SendURI              Operation = 0x0007
	CancelJob            Operation = 0x0008
	GetJobAttributes     Operation = 0x0009
	GetJobs              Operation = 0x000a
	GetPrinterAttributes Operation = 0x000b
	HoldJob              Operation = 0x000c
	ReleaseJob           Operation = 0x000d
	CancelMyJobs         Operation = 0x0039
	CloseJob             Operation = 0x003b
	IdentifyPrinter      Operation = 0x003c
	CUPSGetDefault       Operation = 0x4001
	CUPSGetPrinters      Operation = 0x4002
	CUPSGetClasses       Operation = 0x4005
)

// String returns the registered name, such as "Get-Printer-Attributes", or the
// code: "0x0fff".
func (o Operation) String() string {
	if name, ok := operationNames[o]; ok {
		return name
	}
	return fmt.Sprintf("0x%04x", uint16(o))
}

var operationNames = map[Operation]string{
	0x0002: "Print-Job",
	0x0003: "Print-URI",
	0x0004: "Validate-Job",
	0x0005: "Create-Job",
	0x0006: "Send-Document",
	0x0007: "Send-URI",
	0x0008: "Cancel-Job",
	0x0009: "Get-Job-Attributes",
	0x000a: "Get-Jobs",
	0x000b: "Get-Printer-Attributes",
	0x000c: "Hold-Job",
	0x000d: "Release-Job",
	0x000e: "Restart-Job",
	0x0010: "Pause-Printer",
	0x0011: "Resume-Printer",
	0x0012: "Purge-Jobs",
	0x0013: "Set-Printer-Attributes",
	0x0014: "Set-Job-Attributes",
	0x0015: "Get-Printer-Supported-Values",
	0x0016: "Create-Printer-Subscriptions",
	0x0017: "Create-Job-Subscriptions",
	0x0018: "Get-Subscription-Attributes",
	0x0019: "Get-Subscriptions",
	0x001a: "Renew-Subscription",
	0x001b: "Cancel-Subscription",
	0x001c: "Get-Notifications",
	0x001d: "Send-Notifications",
	0x001e: "Get-Resource-Attributes",
	0x001f: "Get-Resource-Data",
	0x0020: "Get-Resources",
	0x0021: "Get-Printer-Support-Files",
	0x0022: "Enable-Printer",
	0x0023: "Disable-Printer",
	0x0024: "Pause-Printer-After-Current-Job",
	0x0025: "Hold-New-Jobs",
	0x0026: "Release-Held-New-Jobs",
	0x0027: "Deactivate-Printer",
	0x0028: "Activate-Printer",
	0x0029: "Restart-Printer",
	0x002a: "Shutdown-Printer",
	0x002b: "Startup-Printer",
	0x002c: "Reprocess-Job",
	0x002d: "Cancel-Current-Job",
	0x002e: "Suspend-Current-Job",
	0x002f: "Resume-Job",
	0x0030: "Promote-Job",
	0x0031: "Schedule-Job-After",
	0x0033: "Cancel-Document",
	0x0034: "Get-Document-Attributes",
	0x0035: "Get-Documents",
	0x0036: "Delete-Document",
	0x0037: "Set-Document-Attributes",
	0x0038: "Cancel-Jobs",
	0x0039: "Cancel-My-Jobs",
	0x003a: "Resubmit-Job",
	0x003b: "Close-Job",
	0x003c: "Identify-Printer",
	0x003d: "Validate-Document",
	0x003e: "Add-Document-Images",
	0x003f: "Acknowledge-Document",
	0x0040: "Acknowledge-Identify-Printer",
	0x0041: "Acknowledge-Job",
	0x0042: "Fetch-Document",
	0x0043: "Fetch-Job",
	0x0044: "Get-Output-Device-Attributes",
	0x0045: "Update-Active-Jobs",
	0x0046: "Deregister-Output-Device",
	0x0047: "Update-Document-Status",
	0x0048: "Update-Job-Status",
	0x0049: "Update-Output-Device-Attributes",
	0x004a: "Get-Next-Document-Data",
	0x004b: "Allocate-Printer-Resources",
	0x004c: "Create-Printer",
	0x004d: "Deallocate-Printer-Resources",
	0x004e: "Delete-Printer",
	0x004f: "Get-Printers",
	0x0050: "Shutdown-One-Printer",
	0x0051: "Startup-One-Printer",
	0x0052: "Cancel-Resource",
	0x0053: "Create-Resource",
	0x0054: "Install-Resource",
	0x0055: "Send-Resource-Data",
	0x0056: "Set-Resource-Attributes",
	0x0057: "Create-Resource-Subscriptions",
	0x0058: "Create-System-Subscriptions",
	0x0059: "Disable-All-Printers",
	0x005a: "Enable-All-Printers",
	0x005b: "Get-System-Attributes",
	0x005c: "Get-System-Supported-Values",
	0x005d: "Pause-All-Printers",
	0x005e: "Pause-All-Printers-After-Current-Job",
	0x005f: "Register-Output-Device",
	0x0060: "Restart-System",
	0x0061: "Resume-All-Printers",
	0x0062: "Set-System-Attributes",
	0x0063: "Shutdown-All-Printers",
	0x0064: "Startup-All-Printers",
	0x4001: "CUPS-Get-Default",
	0x4002: "CUPS-Get-Printers",
	0x4003: "CUPS-Add-Modify-Printer",
	0x4004: "CUPS-Delete-Printer",
	0x4005: "CUPS-Get-Classes",
	0x4006: "CUPS-Add-Modify-Class",
	0x4007: "CUPS-Delete-Class",
	0x4008: "CUPS-Accept-Jobs",
	0x4009: "CUPS-Reject-Jobs",
	0x400a: "CUPS-Set-Default",
	0x400b: "CUPS-Get-Devices",
	0x400c: "CUPS-Get-PPDs",
	0x400d: "CUPS-Move-Job",
	0x400e: "CUPS-Authenticate-Job",
	0x400f: "CUPS-Get-PPD",
	0x4027: "CUPS-Get-Document",
	0x4028: "CUPS-Create-Local-Printer",
}
