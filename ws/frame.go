package ws

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// The messages of the server. Their JSON is fixed by the package comment.
type (
	helloMessage struct {
		Type      string          `json:"type"`
		Epoch     string          `json:"epoch"`
		Seq       uint64          `json:"seq"`
		Recovered bool            `json:"recovered"`
		Now       opening.Instant `json:"now"`
	}
	stateMessage struct {
		Type  string            `json:"type"`
		Shape string            `json:"shape"`
		State *opening.LotState `json:"state"`
	}
	recordMessage struct {
		Type string `json:"type"`
		opening.LotEvent
		Text bilingual `json:"text"`
	}
	clockMessage struct {
		Type string          `json:"type"`
		Now  opening.Instant `json:"now"`
	}
	timeMessage struct {
		Type string          `json:"type"`
		ID   uint64          `json:"id"`
		Now  opening.Instant `json:"now"`
	}
)

// bilingual is a text in both languages.
type bilingual struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// Epoch names the sequence of public records of a lot.
func Epoch(anchor sm.Hash) string { return hex.EncodeToString(anchor[:8]) + "-1" }

// shape names what a page lays out: all of a state but its time, its checkpoint and the progress of bids, which a script
// puts into the page that is there.
func shape(s *opening.LotState) string {
	c := *s
	c.Now, c.Size, c.Checkpoint, c.Cosigned = 0, 0, "", nil
	c.Bids = slices.Clone(s.Bids)
	for i := range c.Bids {
		c.Bids[i].Step, c.Bids[i].Done, c.Bids[i].Total = "", 0, 0
	}
	j, err := json.Marshal(&c)
	if err != nil {
		panic("ws: a state has no JSON: " + err.Error())
	}
	h := sm.Sum(j)
	return hex.EncodeToString(h[:8])
}

func lotEvent(e opening.Event) opening.LotEvent {
	r := e.Record
	return opening.LotEvent{Seq: e.Seq, Kind: r.Kind.String(), Time: r.Time, Tick: r.Tick, Slot: r.Slot, Entry: r.Raw}
}

// WebSocket opcodes (RFC 6455 section 5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// appendFrame appends a whole unmasked frame, as a server sends it.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// appendMessage appends v as a text frame. v is one of the messages above, which always have JSON.
func appendMessage(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		panic("ws: a message has no JSON: " + err.Error())
	}
	return appendFrame(b, opText, j)
}
