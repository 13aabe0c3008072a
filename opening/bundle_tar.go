package opening

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// The one form of a member's header: ustar (POSIX.1-1988), regular file, mode 0644, owners and times 0.

const (
	tarBlock  = 512
	maxMember = 8<<30 - 1

	maxMemberName = 100
)

func padded(n int64) int64 { return (n + tarBlock - 1) / tarBlock * tarBlock }

func tarHeader(name string, size int64) ([tarBlock]byte, error) {
	var h [tarBlock]byte
	if len(name) == 0 || len(name) > maxMemberName || size < 0 || size > maxMember {
		return h, fmt.Errorf("a member %q of %d bytes does not fit the archive", name, size)
	}
	copy(h[0:], name)
	copy(h[100:], "0000644\x00")
	copy(h[108:], "0000000\x00")
	copy(h[116:], "0000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", size))
	copy(h[136:], "00000000000\x00")
	copy(h[148:], "        ")
	h[156] = '0'
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x00")
	copy(h[337:], "0000000\x00")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h, nil
}

func parseTarHeader(h *[tarBlock]byte) (Member, error) {
	name, _, _ := bytes.Cut(h[:100], []byte{0})
	size, err := strconv.ParseInt(string(h[124:135]), 8, 64)
	if err != nil {
		return Member{}, errors.New("no size")
	}
	again, err := tarHeader(string(name), size)
	if err != nil {
		return Member{}, err
	}
	if again != *h {
		return Member{}, errors.New("other metadata than fixed")
	}
	if _, _, _, _, ok := memberRank(string(name)); !ok {
		return Member{}, fmt.Errorf("an unknown name %q", name)
	}
	return Member{Name: string(name), Size: size}, nil
}
