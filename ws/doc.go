// Package ws is the live view of a lot: its public entries (the records) and its public state over a WebSocket, with
// resume after a lost connection; and the pages that show them ([Pages]).
//
// # Endpoint
//
//	GET /ws/lots/{anchor}?epoch=E&seq=N
//
// anchor is 64 lower-case hex digits. A request from another origin, or one that is no WebSocket handshake, gets an
// HTTP error; everything else that is wrong is said by a close code, because a browser sees no other answer. No extension
// is negotiated. All messages are JSON texts, one object each, told apart by "type"; a viewer ignores types and fields
// that it does not know. Times are RFC 3339 in UTC with microseconds.
//
// # From the server
//
//	{"type":"hello","epoch":"…","seq":12,"recovered":true,"now":"…"}
//	{"type":"state","shape":"…","state":{…}}
//	{"type":"record","seq":12,"kind":"…","time":"…","tick":1,"slot":2,"entry":"…","text":{"zh":"…","en":"…"}}
//	{"type":"clock","now":"…"}
//	{"type":"time","id":7,"now":"…"}
//
// hello comes first and once, the newest state right behind it. seq is the number of the first record that will follow.
//
// A record is an [opening.LotEvent] with a line of text about it, numbered by [opening.Event.Seq] from 0. Records are
// never left out, doubled or reordered within a connection. To resume, a viewer sends the epoch of the last hello and as
// seq the number of records it holds, which is the number of the first one it lacks. recovered says whether they could
// be taken up there; if not, seq is 0 and all records follow, and what the viewer held is to be thrown away.
//
// The epoch names the sequence of public records. It is made of the anchor and of the version of the rule by which
// entries become public: that order is a function of the log, so the same numbers mean the same records after a restart
// of the server too. It changes only with that rule.
//
// state and clock are signals: only the newest one of each is sent, to a viewer that has all records up to it. A state
// is an [opening.LotState], at most four in a second; it holds the progress of every bid, and neither a price nor a field
// nor the size of a form before all forms are opened. Its shape is a digest of all in it but the time, the checkpoint and
// the progress of bids: a page whose shape differs is laid out anew. A clock comes every five seconds, so that silence for fifteen means
// a dead connection.
//
// # From the viewer
//
//	{"type":"time","id":7}
//
// asks for the server's time: id (below 2^53) comes back. Of several that wait only the newest is answered. At most 30 a
// minute; anything else that a viewer sends ends the connection. The server pings every 25 seconds and gives up after 60
// without an answer.
//
// # Close codes
//
// 4000 to 4499: connect again, after a pause with jitter. 4500 to 4999: do not. A viewer that takes nothing for ten
// seconds is cut off without a code; it may resume.
//
//	4001  the server stops           4003  the room is full           4004  too many connections of this viewer
//	4500  there is no such lot       4501  not this protocol          4502  this viewer may not look
//
// # What timing tells
//
// While the number of bids is not public (before CLOSE, and after an abort before OPEN) nothing is sent because something
// happened in the room. The public state is looked at on every whole second and nowhere else, and what it tells of a tick
// is held until grace + 1 seconds after the tick's end: a tick that waited for a bid to be decided shows no later than
// an empty one. A state goes out only if its public content changed, a clock at whole fives of seconds. No size, time or number of these
// frames depends on what was submitted.
package ws
