// Package seal makes and opens sealed bids: the keys, the encrypted sections, the signed header, the price form, the
// `.kbid` file that holds them, and the ticket with which the bidder confirms.
//
// A bid has two keys. kC is locked to the custodians (package quorum); kB stays with the bidder until it confirms, when
// kB gives two halves: kF, which is then published, and kA, which never is.
//
//	certHash = SM3(DER of the bidder's signing certificate)       ctx = enc("ctx", paramsHash, certHash, nonce16)
//	kF = KDF(32, "form half", kB, ctx)                            kA = KDF(32, "file half", kB, ctx)
//	cF = H("form commitment", ctx, kF)                            cA = H("file commitment", ctx, kA)
//	SK_0 = KDF(16, "section", kC‖kF, ctx, u16 0)                  SK_s = KDF(16, "section", kC‖kA, ctx, u16 s)   s >= 1
//
// A section is encrypted as C2SP chunked-encryption says, with HKDF-Expand-SM3, the AEAD name "AEAD_SM4_GCM", SK_s as
// input key and an empty context: salt24 ‖ commitment32 ‖ chunks of 16 KiB, each with its 16-byte tag, the last one
// shorter than 16 KiB and perhaps empty. The commitment is needed because GCM does not commit to its key: without it one
// ciphertext could show two prices under two keys.
//
// Everything read here may come from an enemy. Signatures, certificates and what a lot allows are the caller's to judge.
package seal
