package cert_test

import (
	"testing"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/sm"
)

func TestAPairIsTwoHalvesOfOneSubject(t *testing.T) {
	t.Parallel()
	root, other := must(certtest.NewRoot("root")), must(certtest.NewRoot("other root"))
	key := must(sm.GenerateKey())
	issue := func(ca *certtest.CA, cn string, usage certtest.Usage, key *sm.PrivateKey) *cert.Certificate {
		return parsed(ca.Issue(certtest.Template{Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: cn}}, Usage: usage, Key: key}))
	}
	sign := issue(root, "firm", certtest.UsageSign, key)
	if err := cert.CheckPair(sign, issue(root, "firm", certtest.UsageEncrypt, nil)); err != nil {
		t.Error(err)
	}
	for reason, encrypt := range map[string]*cert.Certificate{
		"have the same key":    issue(root, "firm", certtest.UsageEncrypt, key),
		"issuer or subject of": issue(root, "another firm", certtest.UsageEncrypt, nil),
		"of \"CN=firm\"":       issue(other, "firm", certtest.UsageEncrypt, nil),
		"known to the CA's":    issue(root, "firm", certtest.UsageAll, nil),
		"key centre":           issue(root, "firm", 0, nil),
		"may not receive":      issue(root, "firm", certtest.UsageSign, nil),
	} {
		refused(t, cert.CheckPair(sign, encrypt), cert.ErrUsage, reason)
	}
	refused(t, cert.CheckPair(issue(root, "firm", certtest.UsageEncrypt, nil), issue(root, "firm", certtest.UsageEncrypt, nil)), cert.ErrUsage, "may not sign documents")
}

func TestKeyUsageRules(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	for usage, may := range map[certtest.Usage][2]bool{ // sign, receive
		0: {true, true}, 0x80: {true, false}, 0x40: {true, false}, 0x20: {false, true}, 0x10: {false, true}, 0x08: {false, true},
		0x04: {false, false}, 0x02: {false, false}, certtest.UsageAll: {true, true},
	} {
		c := parsed(root.Issue(certtest.Template{Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: "leaf"}}, Usage: usage}))
		if got := [2]bool{c.MaySign() == nil, c.MayEncrypt() == nil}; got != may {
			t.Errorf("%#02x: %v, want %v", usage, got, may)
		}
	}
}
