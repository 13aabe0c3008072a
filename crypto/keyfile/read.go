package keyfile

// Read opens a key file of any [Format] and says in every error which one it took it for. PEM and base64 around a file
// are taken off. The passphrase is not used by formats without one; recipients are tried by those that need them.
func Read(data, passphrase []byte, recipients ...Recipient) (Contents, error) {
	s, err := ParseKeystore(data)
	if err != nil {
		return Contents{}, err
	}
	return s.contents(passphrase)
}
