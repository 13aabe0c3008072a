// Package tlog is the log of a lot: an append-only Merkle tree with SM3 (shape of RFC 6962) that has one leaf a tick,
// the tick's own tree, proofs, checkpoints with signatures and cosignatures, and the text forms of C2SP signed-note,
// tlog-checkpoint, tlog-cosignature, tlog-proof and tlog-witness. It differs from C2SP in these on purpose: SM3 for
// SHA-256, SM2 as the signature, key ids of type FF, the first line of a cosigned message.
//
// A tick ([Schedule]) is a tree of 65 536 slots ([Tick]). Entries lie in random slots and everything else is a MAC under
// the log's [Key], so that nobody without the key can tell a tick with entries from a blank one, and everybody with the
// key and the entries can recompute every leaf ([Build]). A [Log] gives roots, [Inclusion] and [Consistency] at any size.
//
// A [Checkpoint] is a size and a root under an origin; a [Note] is a checkpoint with the log's signature and the
// custodians' cosignatures; a [Proof] is the text that a receipt consists of; an [AddCheckpoint] is what a custodian is
// asked to cosign. Each text has one encoding, and parsing refuses every other.
//
// Everything here is pure: no disk, no network, no clock.
package tlog
