package sm

import "encoding/hex"

// knownAnswers returns the table of [SelfTest], new at each call. The long values of the standards are split as printed.
func knownAnswers() []knownAnswer {
	const (
		sm4Key = "0123456789abcdeffedcba9876543210"
		// GB/T 32918.5 annexes A and C: the key pair of both examples, on the recommended curve.
		scalar = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
		public = "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020" +
			"ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
		c1 = "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73" +
			"e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
	)
	return []knownAnswer{
		{"SM3 (GB/T 32905 example 1)", []string{text("abc")},
			"66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0", runSM3},
		{"SM3 (GB/T 32905 example 2)",
			[]string{text("abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd")},
			"debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732", runSM3},
		{"HMAC-SM3 (GM/T 0042 annex D.3)", []string{
			"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425",
			"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"},
			"220bf579ded555393f0159f66c99877822a3ecf610d1552154b41d44b94db3ae", runHMAC},
		// No standard has examples of HKDF and PBKDF2 with SM3. These are of GmSSL's test suite, with the inputs of
		// RFC 5869 (A.1, A.3) and RFC 7914; OpenSSL computes the same.
		{"HKDF-SM3 (GmSSL, inputs of RFC 5869 A.1)", []string{
			"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"e0d6f7b0bd056327b7659f1f39ad850561fbcf4fb10fb58e88eafa55cf7cd01e"},
			"c69fe91b7aaee2dd5718d72dcaee0cce93f1b8e41f792da51261b6a517e68b36ed2c595572b01dfa359b", runHKDF},
		{"HKDF-SM3 without salt (GmSSL, inputs of RFC 5869 A.3)", []string{
			"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
			"004fc37143377d072d74e82ff480e8d7937ec607411bc1ec65dd34401871ff9c"},
			"c8c91a38ae2fb3b023a7c38ce9f0748f28230d59b6b950ba3ba949bf0d713a5774815778801741cb2034", runHKDF},
		{"PBKDF2-HMAC-SM3 (GmSSL, inputs of RFC 7914)", []string{text("passwd"), text("salt")},
			"30530b86537c85ea33fbe26ee0adea8d8bd91d283b87936f400e83ad2364ef26" +
				"32cd8662313657c0e6138ffeda2c4e6805869cbd8030188858d8a675ac762523", runPBKDF2},
		{"SM4 (GB/T 32907 example 1)", []string{sm4Key, sm4Key}, "681edf34d206965e86b3e94f536e4246", runSM4},
		{"SM4-CBC (draft-ribose-cfrg-sm4 A.2.2)", []string{sm4Key, "000102030405060708090a0b0c0d0e0f",
			"aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffaaaaaaaabbbbbbbb"},
			"78ebb11cc40b0a48312aaeb2040244cb4cb7016951909226979b0d15dc6a8f6d", runCBC},
		{"SM4-GCM (RFC 8998 A.1)", []string{sm4Key, "00001234567800000000abcd",
			"aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd" +
				"eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
			"feedfacedeadbeeffeedfacedeadbeefabaddad2"},
			"17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735" +
				"d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d" +
				"83de3541e4c2b58177e065a9bf7b62ec", runGCM},
		{"SM2 verification (GB/T 32918.5 A.2)", []string{public, text("message digest"),
			"f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3" +
				"b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"},
			"f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640", runVerify},
		// gmsm before v0.44.1 refuses this right signature on processors with BMI2 and ADX (its issue 560).
		{"SM2 verification of the digest zero (gmsm)", []string{
			"04ef4de57af00ae424c00c4caadff7193f804a19dd73a7e2954db9d0d15ab4cbba" +
				"67728c3f4572878b7a674735da9fde1682fe2d9e0799c4a5cde57e3d473039a2",
			"0000000000000000000000000000000000000000000000000000000000000000",
			"be0ea64e1ec06f0d247093f3ccbbadcfb6260224272f86ddb78326e7cd6c7560" +
				"e9f6ab2fcc48a2cef94838e66b5c7e21fd8e4de25990dd98ca5243f4966f2853"},
			"3046022100be0ea64e1ec06f0d247093f3ccbbadcfb6260224272f86ddb78326e7cd6c7560" +
				"022100e9f6ab2fcc48a2cef94838e66b5c7e21fd8e4de25990dd98ca5243f4966f2853", runVerifyDigest},
		{"SM2 key pair and signing (GB/T 32918.5 A.2)", []string{scalar}, public, runSign},
		{"SM2 decryption (GB/T 32918.5 C.2)", []string{scalar, c1 +
			"59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766" + "21886ca989ca9c7d58087307ca93092d651efa"},
			text("encryption standard"), runDecrypt},
		{"SM2 point multiplication (GB/T 32918.5 C.2)", []string{scalar, c1},
			"335e18d751e51f040e27d468138b7ab1dc86ad7f981d7d416222fd6ab3ed230d", runECDH},
	}
}

func text(s string) string { return hex.EncodeToString([]byte(s)) }
