package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
	"kaibiao/timestamp"
)

// policies of the two time-stamp authorities.
const (
	ownPolicy   = "1.2.156.10197.6.1.3"
	otherPolicy = "1.3.6.1.4.1.59999.1"
)

// people are everybody with a certificate but the bidders.
type people struct {
	cas        [2]*certtest.CA // of two provinces, unrelated
	tsaCAs     [2]*certtest.CA // the operator's own, and another organisation's
	authority  [2]*timestamp.Authority
	agency     certtest.Pair
	supervisor certtest.Pair
	tenderer   certtest.Pair
	custodians [4]certtest.Pair
	salt       [32]byte // blinds the commitment to the limits
}

func (s *show) setUp(context.Context, func(func(context.Context) error)) error {
	p := &people{}
	s.people = p
	for i, name := range []string{"云岭省数字证书认证中心", "石溪省电子认证服务有限公司"} {
		root, err := certtest.NewRoot(name + "根")
		if err != nil {
			return err
		}
		if p.cas[i], err = root.Intermediate(name); err != nil {
			return err
		}
	}
	for i, name := range []string{"交易中心时间戳根", "国家授时示例机构根"} {
		if err := p.makeTSA(i, name); err != nil {
			return err
		}
	}
	if err := p.makePeople(); err != nil {
		return err
	}
	if err := s.makeFirms(); err != nil {
		return err
	}
	s.say("两家互不相关的省级 CA / two unrelated provincial CAs: %s, %s", "云岭", "石溪")
	return s.writeTrust()
}

// organisations of the demo; each of the first four has a custodian too.
const (
	tendererName   = "示例州交通建设投资中心"
	agencyName     = "示例州招标代理有限公司"
	centreName     = "示例州公共资源交易中心"
	supervisorName = "示例州公共资源交易监督局"
)

func (p *people) makePeople() error {
	var err error
	for name, pair := range map[string]*certtest.Pair{agencyName: &p.agency, supervisorName: &p.supervisor, tendererName: &p.tenderer} {
		if *pair, err = p.firm(0, name); err != nil {
			return err
		}
	}
	for j, name := range []string{tendererName, agencyName, centreName, supervisorName} {
		if p.custodians[j], err = p.firm(j%2, name); err != nil {
			return err
		}
	}
	return nil
}

func (p *people) makeTSA(i int, name string) error {
	var err error
	if p.tsaCAs[i], err = certtest.NewRoot(name); err != nil {
		return err
	}
	id, err := p.tsaCAs[i].TSA(name+"时间戳服务", certtest.Window{})
	if err != nil {
		return err
	}
	c, err := id.Parse()
	if err != nil {
		return err
	}
	policy, err := der.ParseOID([]string{ownPolicy, otherPolicy}[i])
	p.authority[i] = &timestamp.Authority{Key: id.Key, Chain: []*cert.Certificate{c}, Policy: policy, Accuracy: time.Second}
	return err
}

func (p *people) firm(ca int, name string) (certtest.Pair, error) {
	return p.cas[ca].Firm(certtest.FirmOptions{Name: name, USCI: certtest.USCI("", name)})
}

// writeTrust puts CA certificates and revocation lists where the platform looks for them.
func (s *show) writeTrust() error {
	dir := filepath.Join(s.dir, "platform")
	for _, d := range []string{"trust", "crl"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	now := time.Now().Truncate(time.Second)
	for i, ca := range append(s.people.cas[:], s.people.tsaCAs[:]...) {
		lists, err := ca.Evidence(now.Add(-time.Minute), now.Add(24*time.Hour))
		if err != nil {
			return err
		}
		for k, l := range lists {
			if err := os.WriteFile(filepath.Join(dir, "crl", fmt.Sprintf("%d-%d.crl", i, k)), l, 0o600); err != nil {
				return err
			}
		}
		if i >= len(s.people.cas) {
			continue // authorities are pinned in the Terms, not trusted for bidders
		}
		for k, c := range ca.Chain() {
			if err := os.WriteFile(filepath.Join(dir, "trust", fmt.Sprintf("%d-%d.cer", i, k)), c, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
