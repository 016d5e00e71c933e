##! Logs packets of CUPS legacy browsing (631/UDP) that ask a host to call
##! somebody, as cups_browse.log, and notices when the host then calls whom the
##! packet named. ippwatch watch reads the log beside conn.log and http.log.

@load base/frameworks/notice

module CUPSBrowse;

export {
	redef enum Log::ID += { LOG };

	redef enum Notice::Type += {
		## A host called whom a browse packet had named: it is vulnerable
		## (CVE-2024-47176), and has answered.
		Answered,
	};

	type Info: record {
		ts: time &log;
		uid: string &log;
		id: conn_id &log;
		## The URI in the packet, as it was sent.
		browse_uri: string &log;
		## Bytes of the packet's payload.
		bytes: count &log;
	};
}

redef udp_content_delivery_ports_orig += { [631/udp] = T };

# Whom hosts were asked to call. Addresses only: a name would have to be resolved.
global asked: table[addr] of set[addr] &create_expire = 10min;

event zeek_init()
	{
	Log::create_stream(LOG, [$columns=Info, $path="cups_browse"]);
	}

event udp_contents(u: connection, is_orig: bool, contents: string)
	{
	if ( ! is_orig || u$id$resp_p != 631/udp )
		return;

	local found = match_pattern(contents, /[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^ \t\r\n\x22]+/);
	if ( ! found$matched )
		return;

	local uri = found$str;
	if ( /:\/\/[^\/]*\/(printers|classes)\// !in to_lower(unescape_URI(uri)) )
		return;

	Log::write(LOG, [$ts=network_time(), $uid=u$uid, $id=u$id, $browse_uri=uri, $bytes=|contents|]);

	local host = split_string1(split_string(uri, /\//)[2], /:/)[0];
	if ( ! is_valid_ip(host) )
		return;
	if ( u$id$resp_h !in asked )
		asked[u$id$resp_h] = set();
	add asked[u$id$resp_h][to_addr(host)];
	}

event new_connection(c: connection)
	{
	if ( get_port_transport_proto(c$id$resp_p) != tcp || c$id$orig_h !in asked )
		return;
	if ( c$id$resp_h !in asked[c$id$orig_h] )
		return;

	NOTICE([$note=Answered, $conn=c, $identifier=cat(c$id$orig_h, c$id$resp_h),
	        $msg=fmt("%s called %s, which a browse packet had named", c$id$orig_h, c$id$resp_h)]);
	}
