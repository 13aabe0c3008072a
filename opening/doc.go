// Package opening is the life of one lot's sealed bids, from the Terms to the recorded opening, and the offline verifier of
// it. It touches no disk and no network, and reads the clock in one function. docs/spec.md says the same for a stranger's
// program; where the two differ, that is a fault.
//
// # The rule book
//
// A lot is a log. Its entries ([Entry]) are bodies of 27 kinds ([Body]) in the order of their times; [State.Apply] is the
// rule book: it takes the next entry and either refuses it, changing nothing, or is changed by it. The server that
// restarts, the custodian who is asked for a key, and the auditor replay the same entries through the same function.
// A [Refusal] names a code, for people and programs, and the check V1 to V30 that fails on a log which accepts the entry.
//
//	Draft -> Accepting -> Closed -> Confirming -> Frozen -> Opening -> Recorded
//	         Accepting .. Confirming -> Aborted
//
// Draft ends by time alone, every other stage by an entry: CLOSE, OPEN, FREEZE, the t-th release, RECORD, ABORT. Only the t-th
// release leads back, from a Recorded lot whose RECORD says that it failed for want of releases.
//
// # Invariants
//
//  1. Times strictly increase, an entry stands in the tick of its time, a body stands in a log once.
//  2. A firm, by its 统一社会信用代码, has at most one standing bid, and only the same certificate or one of the same CA
//     takes it away.
//  3. No bid has a time at or after the deadline in force; CLOSE has exactly that time.
//  4. The deadline, the opening and the window's end move later only; at every one the old value binds until the entry.
//  5. FREEZE lists the standing bids in log order and nothing else, after the window or when nobody is unconfirmed or lost.
//  6. No release comes before FREEZE, and each relies on a checkpoint of this log that covers FREEZE, with w cosignatures.
//  7. A form verdict follows from public data alone and is the same for every quorum of releases.
//  8. All form verdicts are published in one tick, after the draws announced as before them.
//  9. Nothing follows RECORD but notes and findings, and after a RECORD by `fail` releases.
//
// # Durability
//
// [Room] is the one owner of a lot that lives. Whatever it acknowledges is durable: a receipt, a cosignature taken, a
// file or token kept. A tick's entries, its checkpoint, the evidence and the private items that belong to them are one
// [Batch], whole or not at all; the checkpoint is signed before and given away after. If a [Journal] returns an error,
// nobody knows what it kept: the room stops, tells nothing that may be ahead of the disk, and a new room begins from what
// is found ([Saved]). A tick that was sealed never reopens, also if the clock runs back; NewRoom recomputes every
// checkpoint and refuses a journal that does not fit. Ticks with nothing in them cost nothing but their beat.
//
// # Secrecy
//
// Before CLOSE nothing that [Room.Public], [Room.Events], [Room.Witness] or the channels of change tell depends on whether,
// how much and when somebody submitted, one's own submission excepted; CLOSE tells the number, OPEN all entries. The
// files' half kA is never in the log. No price, field or size of a form is told before all forms are opened; then all are.
// Errors, refusals and warnings name no secret, and warnings no bidder.
//
// # Verifying
//
// [Verify] runs V1 to V30 over a [Bundle] against the anchor from the tender notice, and tells every failure by its
// number. Anything may be in a bundle: what it costs is bounded by its size, [MaxEntries] and [tlog.MaxSize], and Params
// that cannot be computed with end the run at V3. A fault of an entry is told under the rule that it breaks, and what follows
// from it under theirs.
//
// # Formats beyond the protocol's page
//
//   - Statements outside the log and signed requests are {content, signature}, both OCTET STRINGs ([SignStatement],
//     [Request]): the signed bytes stay as they were.
//   - tokens/<size>-<n>: n is the authority's number in Terms, from 1.
//   - Members of a bundle stand in this order: manifest, params, trust, blind, entries, checkpoints, tokens by size and
//     number, evidence by digest, bids by id and section, record by name, halves. Numbers have no leading zeros. A name has
//     at most 100 bytes, so that of a file of the record 93 ([CheckRecordName]).
//   - A bundle holds no section but section 0 of confirmed bids (V18), for auditors their others, no file half of another bid
//     (V29), and no file that the RECORD in force does not name (V27).
//   - record.json has neither phases nor signatures nor RECORD itself ([MakeRecordJSON]): it can be signed in a phase.
//   - A lock that does not open leaves its files "not covered" (5); with any other fault of the form they are judged.
//   - A check-in is copied to the bid that replaces its own.
//   - Before FREEZE nobody is a bidder of FREEZE: in a phase before the forms only agency and supervisor sign.
//   - kC may be any 32 bytes, also zero; y of the draws is then 32 zero bytes, as for a lock that fails.
//   - A draw rule that a program does not know is no fault of the Terms: V26 is missing there. No server, client or custodian
//     begins such a lot ([ErrDrawRule]).
//   - A verdict that differs is V25, and V23 if the lock decides, V24 if what lies under it does.
//   - What only V29 and V30 miss leaves a bundle valid: lost files have a verdict of their own.
package opening
