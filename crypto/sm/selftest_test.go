package sm

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func TestSelfTest(t *testing.T) {
	t.Parallel()
	start := time.Now()
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the self-test takes %v", took)
	}
}

func BenchmarkSelfTest(b *testing.B) {
	for b.Loop() {
		if err := SelfTest(); err != nil {
			b.Fatal(err)
		}
	}
}

// corrupt flips the bit of a hex value; an empty one becomes 01.
func corrupt(t *testing.T, s string, bit int) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return "01"
	}
	bit %= 8 * len(b)
	b[bit/8] ^= 1 << (bit % 8)
	return hex.EncodeToString(b)
}

// Each constant of the table counts: with any one of them altered the self-test fails and says where.
func TestACorruptedConstantRefusesToStart(t *testing.T) {
	t.Parallel()
	for i, a := range knownAnswers() {
		for _, bit := range []int{0, 7, 8*len(a.want)/4 - 1, 100, 777} {
			for k := range len(a.in) + 1 {
				table := knownAnswers()
				if k < len(a.in) {
					table[i].in[k] = corrupt(t, a.in[k], bit)
				} else {
					table[i].want = corrupt(t, a.want, bit)
				}
				err := selfTest(table)
				if err == nil {
					t.Errorf("%s: value %d may have bit %d altered", a.name, k, bit)
				} else if !strings.Contains(err.Error(), a.name) {
					t.Errorf("%s: value %d: the error names something else: %v", a.name, k, err)
				}
			}
		}
		table := knownAnswers()
		table[i].want = "not hex"
		if selfTest(table) == nil {
			t.Errorf("%s: an answer that is not hex passes", a.name)
		}
	}
}

// Wrong code, not only wrong constants: an implementation that accepts everything or returns its input is noticed.
func TestSelfTestSeesWrongImplementations(t *testing.T) {
	t.Parallel()
	for i, a := range knownAnswers() {
		for name, run := range map[string]func([][]byte) ([]byte, error){
			"nothing":   func([][]byte) ([]byte, error) { return nil, nil },
			"its input": func(in [][]byte) ([]byte, error) { return in[0], nil },
		} {
			if a.in[0] == a.want && name == "its input" {
				continue
			}
			table := knownAnswers()
			table[i].run = run
			if err := selfTest(table); err == nil || !strings.Contains(err.Error(), a.name) {
				t.Errorf("%s: an implementation that returns %s passes: %v", a.name, name, err)
			}
		}
	}
}

// The published values of which the self-test needs none at every start.
func TestFurtherPublishedAnswers(t *testing.T) {
	t.Parallel()
	in := []string{
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f" +
			"303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
		"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f" +
			"909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		"b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf" +
			"e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"1a43a7fedb2d111eb33babd0d256c272aa3262cdb12e6b43d4321ae8888485d5",
	}
	pbkdf2 := func(iterations, n int) func(in [][]byte) ([]byte, error) {
		return func(in [][]byte) ([]byte, error) { return PBKDF2(string(in[0]), in[1], iterations, n) }
	}
	decrypt := func(in [][]byte) ([]byte, error) {
		key, err := NewPrivateKey(in[0])
		if err != nil {
			return nil, err
		}
		return key.Decrypt(nil, in[1], nil)
	}
	const opensslKey = "d09156733017bdad809fd9bbd8c693f60230593169b6f94aaf1c8ee138cc99b5"
	err := selfTest([]knownAnswer{
		{"SM3 of nothing (GmSSL)", []string{""}, "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b", runSM3},
		{"HKDF-SM3 (GmSSL, inputs of RFC 5869 A.2)", in, "c1226236bbdefa7921f9febe27b864f33e449201b436d8844ea53f58170dd642" +
			"6defbd22ed1f3c5960f35523e62e3b6c0d657f2c61893436f539013199bfaef25aafd1e7726ede927623a9f5cbb8885c7e5d", func(in [][]byte) ([]byte, error) {
			return Expand(82, in[3], in[2]), nil
		}},
		{"PBKDF2-HMAC-SM3 (GmSSL 5)", []string{"7439315572766f47", "5d76db9ca0f0bae2"},
			"b5a34184338ee89ee606206de0d20ff0f7e7a23435bc6430a3c694f37d6a1b00e5e94bac388fb23d91e9df885affffb8" +
				"9f40ef21f604b2a0c66a4532d9475b50c4", pbkdf2(4096, 65)},
		{"PBKDF2-HMAC-SM3 of an empty passphrase (GmSSL 51)", []string{"", "1a71e2118c9fbcc9"},
			"20fdb4331ef976d15d8dc1af90d139424dba907d15e890c9b1fd7be9720c9f68", pbkdf2(4096, 32)},
		{"PBKDF2-HMAC-SM3, not UTF-8 (GmSSL 55)", []string{"ff", "32140a66b88e1683"}, "fae8957b889efd0a9a7c7be41037a419", pbkdf2(4096, 16)},
		{"SM2 decryption (OpenSSL)", []string{opensslKey,
			"30818a0220466be2ef5c11782ec77864a0055417f407a5afc11d653c6bce69e417bb1d05b6022062b572e21ff0ddf5c726bd3f9ff2" +
				"eae56e6294713a607e9b9525628965f62cc804203c1b5713b5db2728eb7bf775e44f4689fc32668bdc564f52ea45b09e8df2a5f4" +
				"0422084a9d0cc2997092b7d3c404fce95956eb604d732b2307a8e5b8900ed6608ca5b197"},
			text("The floofy bunnies hop at midnight"), decrypt},
		{"SM2 decryption, y of 31 octets (OpenSSL)", []string{opensslKey,
			"3072022070dad60cda7c30d64cf4f278a849003581223f5324bfec9bb329229bffad21a6021f18afab2b35459d2643243b242be4ea80" +
				"c6fa5071d2d847340cc57eb9309e5d04200b772e4db664b2601e3b85e39c4aa8c2c1910308be13b331e009c5a9258c29fd040b6d" +
				"588be9260a94da18e0e6"}, text("Hello World"), decrypt},
	})
	if err != nil {
		t.Error(err)
	}
}

// GB/T 32907 example 2.
func TestSM4AMillionTimes(t *testing.T) {
	t.Parallel()
	key, _ := hex.DecodeString("0123456789abcdeffedcba9876543210")
	b, err := Block(key)
	if err != nil {
		t.Fatal(err)
	}
	x := append([]byte{}, key...)
	for range 1_000_000 {
		b.Encrypt(x, x)
	}
	if got := hex.EncodeToString(x); got != "595298c7c6fd271f0402f804c33d3f66" {
		t.Errorf("%s", got)
	}
}
