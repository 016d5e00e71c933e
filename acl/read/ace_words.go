package read

import "ippwatch/acl"

// protocols by the names of IOS-XE, IOS-XR and EOS (IANA protocol numbers).
var aceProtocols = map[string]uint16{
	"icmp": 1, "igmp": 2, "ipinip": 4, "nos": 4, "tcp": 6, "igrp": 9, "udp": 17, "dccp": 33, "rsvp": 46, "gre": 47, "esp": 50, "ahp": 51,
	"icmpv6": 58, "icmp6": 58, "eigrp": 88, "ospf": 89, "pim": 103, "pcp": 108, "vrrp": 112, "sctp": 132,
}

// protocol reads a name or a number; nil and true is any protocol of the family.
func protocol(word string, family acl.Family) (acl.Ranges, bool) {
	switch v6 := family == acl.V6; word {
	case "ip", "ipv4":
		return nil, !v6
	case "ipv6", "hbh":
		return nil, v6
	case "icmp":
		if v6 {
			return acl.Number(58), true
		}
	}
	n, ok := aceProtocols[word]
	if !ok {
		if n, ok = number(word); !ok || n > 255 {
			return nil, false
		}
	}
	return acl.Number(n), true
}

// portsOf are names of ports that depend on the protocol, and those that do
// not, as IOS prints them ("Access Control Lists" in the command reference:
// access-list (IP extended)).
var portsOf = map[uint16]map[string]uint16{
	acl.TCP: {
		"bgp": 179, "chargen": 19, "cmd": 514, "daytime": 13, "discard": 9, "domain": 53, "drip": 3949, "echo": 7, "exec": 512,
		"finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70, "hostname": 101, "ident": 113, "irc": 194, "klogin": 543, "kshell": 544,
		"login": 513, "lpd": 515, "msrpc": 135, "nntp": 119, "onep-plain": 15001, "onep-tls": 15002, "pim-auto-rp": 496, "pop2": 109,
		"pop3": 110, "smtp": 25, "sunrpc": 111, "tacacs": 49, "tacacs-ds": 49, "talk": 517, "telnet": 23, "time": 37, "uucp": 540,
		"whois": 43, "www": 80, "ldp": 646, "ssh": 22, "https": 443, "radius": 1812, "radius-acct": 1813,
	},
	acl.UDP: {
		"biff": 512, "bootpc": 68, "bootps": 67, "discard": 9, "dnsix": 195, "domain": 53, "echo": 7, "isakmp": 500, "mobile-ip": 434,
		"nameserver": 42, "netbios-dgm": 138, "netbios-ns": 137, "netbios-ss": 139, "non500-isakmp": 4500, "ntp": 123, "pim-auto-rp": 496,
		"rip": 520, "ripv6": 521, "snmp": 161, "snmptrap": 162, "sunrpc": 111, "syslog": 514, "tacacs": 49, "tacacs-ds": 49, "talk": 517,
		"tftp": 69, "time": 37, "who": 513, "xdmcp": 177, "ldp": 646, "radius": 1812, "radius-acct": 1813, "bfd": 3784, "bfd-echo": 3785,
	},
}

// eosPorts are names that EOS prints beside those (they are IANA's).
var eosPorts = map[string]uint16{
	"acap": 674, "acr-nema": 104, "afpovertcp": 548, "arns": 384, "asf-rmcp": 623, "at-rtmp": 201, "aurp": 387, "auth": 113, "bftp": 152,
	"bgmp": 264, "cisco-tdp": 711, "codaauth2": 370, "commerce": 542, "courier": 530, "csnet-ns": 105, "daap": 3689, "dhcp": 67,
	"dhcpv6-client": 546, "dhcpv6-server": 547, "dsp": 33, "efs": 520, "epmap": 135, "epp": 700, "esro-gen": 259, "ftps": 990,
	"ftps-data": 989, "godi": 848, "gtp-c": 2123, "gtp-u": 2152, "hp-alarm-mgr": 383, "http": 80, "http-mgmt": 280,
	"http-rpc-epmap": 593, "imap": 143, "imap3": 220, "imap4": 143, "imaps": 993, "ipp": 631, "ipx": 213, "iris-beep": 702, "iscsi": 860,
	"iso-tsap": 102, "kerberos": 88, "kpasswd": 464, "l2tp": 1701, "la-maint": 51, "ldap": 389, "ldaps": 636, "lmp": 701,
	"lsp-ping": 3503, "mac-srvr-admin": 660, "matip-type-a": 350, "matip-type-b": 351, "micromuse-lm": 1534, "microsoft-ds": 445,
	"mpp": 218, "ms-sql-m": 1434, "ms-sql-s": 1433, "msdp": 639, "msexch-routing": 691, "msg-icp": 29, "msp": 18,
	"ncp": 524, "netrjs-1": 71, "netrjs-2": 72, "netrjs-3": 73, "netrjs-4": 74, "netwall": 533,
	"new-rwho": 550, "nfs": 2049, "nntps": 563, "nsw-fe": 27, "odmr": 366, "olsr": 698, "openvpn": 1194, "pkix-timestamp": 318,
	"pkt-krb-ipsec": 1293, "pop3s": 995, "pptp": 1723, "print-srv": 170, "printer": 515, "ptp-event": 319, "ptp-general": 320,
	"qmtp": 209, "qotd": 17, "re-mail-ck": 50, "remote-fs": 556, "repcmd": 641, "rje": 77, "rlp": 39, "rlzdbase": 635, "rmc": 657,
	"rmonitor": 560, "rpc2portmap": 369, "rsync": 873, "rtelnet": 107, "rtsp": 554, "sgmp": 153, "silc": 706, "smux": 199,
	"snagas": 108, "snmp-trap": 162, "snpp": 444, "sqlserv": 118, "sqlsrv": 156, "submission": 587, "svrloc": 427, "systat": 11,
	"timed": 525, "tunnel": 604, "ups": 401, "uuidgen": 697, "vmnet": 175, "vxlan": 4789, "whoispp": 63, "xns-auth": 56, "xns-ch": 54,
	"xns-courier": 165, "xns-mail": 58, "xns-time": 52, "z39-50": 210,
}

// icmpTypes are names of types and codes of ICMP, ICMPv6 and IGMP.
var icmpTypes = []string{
	"administratively-prohibited", "alternate-address", "conversion-error", "dod-host-prohibited", "dod-net-prohibited", "echo", "echo-reply",
	"general-parameter-problem", "host-isolated", "host-precedence-unreachable", "host-redirect", "host-tos-redirect",
	"host-tos-unreachable", "host-unknown", "host-unreachable", "information-reply", "information-request", "mask-reply", "mask-request",
	"mobile-redirect", "net-redirect", "net-tos-redirect", "net-tos-unreachable", "net-unreachable", "network-unknown", "no-room-for-option",
	"option-missing", "packet-too-big", "parameter-problem", "port-unreachable", "precedence-unreachable", "protocol-unreachable",
	"reassembly-timeout", "redirect", "router-advertisement", "router-solicitation", "source-quench", "source-route-failed",
	"time-exceeded", "timestamp-reply", "timestamp-request", "traceroute", "ttl-exceeded", "unreachable",
	"beyond-scope", "destination-unreachable", "dhaad-reply", "dhaad-request", "echo-request", "header", "hop-limit", "mld-query", "mld-reduction",
	"mld-report", "mldv2-report", "mpd-advertisement", "mpd-solicitation", "nd-na", "nd-ns", "neighbor-advertisement",
	"neighbor-solicitation", "next-header", "no-admin", "no-route", "parameter-option", "reassembly-timeout", "renum-command",
	"renum-result", "renum-seq-number", "router-renumbering", "neighbor-redirect", "dvmrp", "host-query", "host-report", "pim", "trace", "query", "report",
}
