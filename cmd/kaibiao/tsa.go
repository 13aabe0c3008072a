package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kaibiao/cmd/internal/party"
	"kaibiao/cmd/internal/server"
	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/timestamp"

	"github.com/spf13/cobra"
)

// tsaFlags name the operator's own time-stamp authority. Its tokens prove nothing against the operator.
type tsaFlags struct{ key, pin, root, policy string }

func (t *tsaFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.key, "own-tsa-key", "", "自有时间戳服务的密钥 URI / key of the operator's own time-stamp authority")
	f.StringVar(&t.pin, "own-tsa-pin", "", "其口令来源 / where its passphrase comes from")
	f.StringVar(&t.root, "own-tsa-root", "", "其根证书文件 / its root certificate")
	f.StringVar(&t.policy, "own-tsa-policy", "", "其策略 OID / its policy OID")
}

// add puts the authorities into the configuration.
func (t *tsaFlags) add(ctx context.Context, cfg *server.Config, others []string) error {
	if t.key != "" {
		own, err := t.authority(ctx)
		if err != nil {
			return fmt.Errorf("own time-stamp authority: %w", err)
		}
		cfg.TSAs, cfg.ServeTSA = append(cfg.TSAs, own), true
	}
	for _, spec := range others {
		url, rest, _ := strings.Cut(spec, ",")
		file, policy, ok := strings.Cut(rest, ",")
		if !ok {
			return fmt.Errorf("--tsa %s: URL,根证书文件,策略 OID / URL,root file,policy OID", spec)
		}
		root, err := party.ReadCertificate(file)
		if err != nil {
			return err
		}
		if _, err := der.ParseOID(policy); err != nil {
			return err
		}
		cfg.TSAs = append(cfg.TSAs, server.TSA{Root: root, Policy: policy, URL: url})
	}
	return nil
}

func (t *tsaFlags) authority(ctx context.Context) (server.TSA, error) {
	p, err := openPerson(ctx, t.key, t.pin)
	if err != nil {
		return server.TSA{}, err
	}
	root, err := party.ReadCertificate(t.root)
	if err != nil {
		return server.TSA{}, err
	}
	policy, err := der.ParseOID(t.policy)
	if err != nil {
		return server.TSA{}, err
	}
	c, err := cert.Parse(p.Certificate)
	if err != nil {
		return server.TSA{}, err
	}
	a := &timestamp.Authority{Key: p.Key, Chain: []*cert.Certificate{c}, Policy: policy, Accuracy: time.Second}
	return server.TSA{Root: root, Policy: t.policy, Authority: a}, a.Check(time.Now())
}
