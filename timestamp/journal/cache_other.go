//go:build !linux

package journal

import "os"

func dropCache(*os.File) {}
