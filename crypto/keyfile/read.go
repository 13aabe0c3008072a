package keyfile

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Read opens a key file of any [Format] and says in every error which one it took it for. PEM and base64 around a file
// are taken off; a PEM file may hold several keys and certificates, which are paired as those of a PFX file. The
// passphrase is not used by formats without one; recipients are tried in turn by those that need one. If a passphrase
// is needed and none given the error is [ErrNoPassphrase].
//
// recipients are keys to which a CA may have encrypted the one in the file: that of the signing certificate. They may
// be in memory or in devices.
func Read(data, passphrase []byte, recipients ...crypto.Decrypter) (Contents, error) {
	return read(data, passphrase, recipients, maxWork)
}

func read(data, passphrase []byte, recipients []crypto.Decrypter, work int64) (Contents, error) {
	if len(data) > MaxFile {
		return Contents{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrFormat, len(data), MaxFile)
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) && !bytes.HasPrefix(data, []byte{der.TagSequence}) {
		return readPEM(data, passphrase, recipients, work)
	}
	b := data
	if !bytes.HasPrefix(data, []byte{der.TagSequence}) {
		if b = fromBase64(data); b == nil {
			return Contents{}, fmt.Errorf("%w: neither DER nor PEM nor base64", ErrFormat)
		}
	}
	return readDER(b, passphrase, recipients, work)
}

// fromBase64 decodes base64 in lines; nil if it is none or no DER comes out.
func fromBase64(data []byte) []byte {
	data = bytes.Join(bytes.Fields(data), nil)
	out := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Strict().Decode(out, data)
	if err != nil || n == 0 || out[0] != der.TagSequence {
		return nil
	}
	return out[:n]
}

func readDER(b, passphrase []byte, recipients []crypto.Decrypter, work int64) (Contents, error) {
	strict, err := tolerant(b)
	if err != nil {
		return Contents{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	f, err := detect(strict)
	if err != nil {
		return Contents{}, err
	}
	switch f {
	case Keystore:
		s, err := ParseKeystore(b) // one encoding only
		if err != nil {
			return Contents{}, err
		}
		if int64(s.Iterations) > work {
			return Contents{}, fmt.Errorf("%s: %w", f, ErrWork)
		}
		return s.contents(passphrase)
	case PFX:
		return readPFX(strict, passphrase, work)
	case CFCA:
		return ReadCFCA(strict, passphrase)
	}
	s := &bags{}
	if s.opener, err = newOpener(passphrase, work); err != nil {
		return Contents{}, fmt.Errorf("%s: %w", f, err)
	}
	if err := s.single(f, strict, recipients); err != nil {
		return Contents{}, fmt.Errorf("%s: %w", f, err)
	}
	return s.finish(f)
}

// single reads a file that holds one key and keeps the key.
func (s *bags) single(f Format, b []byte, recipients []crypto.Decrypter) error {
	var key *sm.PrivateKey
	var err error
	switch f {
	case EncryptedPKCS8:
		key, err = s.encryptedPKCS8(b)
	case PlainPKCS8:
		s.plain = true
		key, err = readPKCS8(b)
	case PlainSEC1:
		s.plain = true
		key, err = readSEC1(b, false)
	case EnvelopedKey:
		key, err = tryRecipients(recipients, func(r crypto.Decrypter) (*sm.PrivateKey, error) {
			return readEnvelopedKey(b, r)
		})
	case SignedAndEnveloped:
		key, err = tryRecipients(recipients, func(r crypto.Decrypter) (k *sm.PrivateKey, err error) {
			k, s.signer, err = readDelivery(b, r)
			return k, err
		})
	default:
		return ErrUnsupported
	}
	if err != nil {
		return err
	}
	s.keys = append(s.keys, keyBag{key: key})
	return nil
}

// finish pairs what was found.
func (s *bags) finish(f Format) (Contents, error) {
	c, err := s.contents(f)
	if err != nil {
		return Contents{}, fmt.Errorf("%s: %w", f, err)
	}
	return c, nil
}

// tryRecipients returns what the first fitting recipient opens, or the error of the last.
func tryRecipients(recipients []crypto.Decrypter, open func(crypto.Decrypter) (*sm.PrivateKey, error)) (*sm.PrivateKey, error) {
	if len(recipients) == 0 {
		return open(nil)
	}
	var last error
	for _, r := range recipients {
		k, err := open(r)
		if err == nil {
			return k, nil
		}
		last = err
	}
	return nil, last
}

// shape is what tells the formats apart: the tags of the first fields, and of what the first ones hold.
type shape struct {
	tags  [4]byte // of the fields, 0 where there is none
	first int64   // the first field if it is a small INTEGER, else -1
	id    asn1.ObjectIdentifier
	inner [2]byte // of the fields of the first field that is a SEQUENCE
}

func shapeOf(b []byte) shape {
	s := shape{first: -1}
	seq := der.NewReader(b, MaxFile).Sequence()
	for i := range s.tags {
		element := seq.Raw()
		if element == nil {
			break
		}
		s.tags[i] = element[0]
		r := der.NewReader(element, MaxFile)
		switch {
		case i == 0 && s.tags[0] == der.TagInteger && len(element) == 3:
			s.first = r.Int()
		case i == 0 && s.tags[0] == der.TagOID:
			s.id = r.OID()
		case s.tags[i] == der.TagSequence && s.inner[0] == 0:
			in := r.Sequence()
			for j := range s.inner {
				if e := in.Raw(); e != nil {
					s.inner[j] = e[0]
				}
			}
		}
	}
	return s
}

// detect tells the format of a file in DER by its shape. Certificates and the like get an error that names them.
func detect(b []byte) (Format, error) {
	const seq, oct, bit, num, oid = der.TagSequence, der.TagOctetString, der.TagBitString, der.TagInteger, der.TagOID
	s := shapeOf(b)
	t := s.tags
	switch {
	case t == [4]byte{oct, oct, oct, 0}:
		return Keystore, nil
	case s.first == 3 && t[1] == seq && s.inner[0] == oid && s.inner[1] == der.Context(0, true):
		return PFX, nil
	case s.first == 1 && t == [4]byte{num, seq, seq, 0}:
		return CFCA, nil
	case (s.first == 0 || s.first == 1) && t[1] == seq && t[2] == oct:
		return PlainPKCS8, nil
	case s.first == 1 && t[1] == oct:
		return PlainSEC1, nil
	case t == [4]byte{seq, oct, 0, 0}:
		return EncryptedPKCS8, nil
	case t == [4]byte{seq, seq, bit, bit}, t == [4]byte{oid, seq, oct, oct}:
		return EnvelopedKey, nil
	case t[0] == oid && t[1] == der.Context(0, true) && isSignedAndEnveloped(s.id):
		return SignedAndEnveloped, nil
	case t == [4]byte{seq, seq, bit, 0}:
		return 0, fmt.Errorf("%w: it is a certificate, a request or a CRL, without a private key", ErrFormat)
	case t[0] == oid && t[1] == der.Context(0, true):
		return 0, fmt.Errorf("%w: it is a CMS message (content type %s)", ErrFormat, s.id)
	}
	return 0, fmt.Errorf("%w: DER of another structure", ErrFormat)
}

func isSignedAndEnveloped(id asn1.ObjectIdentifier) bool {
	return slices.Contains([]string{"1.2.156.10197.6.1.4.2.4", "1.2.840.113549.1.7.4"}, id.String())
}

// maxBlocks is the number of PEM blocks that one file may hold.
const maxBlocks = 64

// readPEM reads a file of PEM blocks: keys, their certificates, and parameters, which are not looked at.
func readPEM(data, passphrase []byte, recipients []crypto.Decrypter, work int64) (Contents, error) {
	o, err := newOpener(passphrase, work)
	if err != nil {
		return Contents{}, fmt.Errorf("PEM: %w", err)
	}
	s := &bags{opener: o}
	var format Format
	for n := 0; ; n++ {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if n == maxBlocks {
			return Contents{}, fmt.Errorf("%w: more than %d PEM blocks", ErrFormat, maxBlocks)
		}
		if block.Headers["Proc-Type"] != "" {
			return Contents{}, fmt.Errorf("PEM: %w: encryption by header; convert the key to PKCS #8", ErrUnsupported)
		}
		f, err := s.block(block, recipients)
		if f != 0 && format == 0 {
			format = f
		}
		if errors.Is(err, errWhole) {
			return readDER(block.Bytes, passphrase, recipients, work)
		}
		if err != nil {
			return Contents{}, err
		}
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return Contents{}, fmt.Errorf("%w: a PEM block is damaged or incomplete", ErrFormat)
	}
	if format == 0 {
		return Contents{}, fmt.Errorf("%w: no private key among the PEM blocks", ErrFormat)
	}
	return s.finish(format)
}

// errWhole: the block holds a file that stands for itself.
var errWhole = errors.New("a whole file")

// block reads one PEM block by what is in it; its label only tells certificates and parameters from keys.
func (s *bags) block(block *pem.Block, recipients []crypto.Decrypter) (Format, error) {
	switch block.Type {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		info, err := readCertificate(block.Bytes)
		if err != nil {
			return 0, fmt.Errorf("PEM: %w", err)
		}
		s.certs = append(s.certs, certBag{info: info})
		return 0, nil
	case "EC PARAMETERS", "SM2 PARAMETERS":
		return 0, nil
	}
	f, err := detect(block.Bytes)
	if err != nil {
		return 0, fmt.Errorf("PEM: %w", err)
	}
	if f == Keystore || f == PFX || f == CFCA {
		return f, errWhole
	}
	err = s.single(f, block.Bytes, recipients)
	if errors.Is(err, errOtherKey) {
		s.other = err
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", f, err)
	}
	return f, nil
}
