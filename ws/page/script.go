package page

// Script returns the words that the script needs, as it finds them in the page.
func (f *Frame) Script() map[string]string {
	w := f.W
	return map[string]string{
		"lang": w.Lang, "error": w.TimeError, "unknown": w.TimeUnknown, "live": w.Live, "lost": w.Lost,
		"no": w.RecordNo, "new": w.RecordNew, "checkpoint": w.CheckpointLine, "says": w.Says,
		"days": w.Days, "hours": w.Hours, "minutes": w.Minutes, "seconds": w.Seconds,
		"queued": w.Queued, "unlock": w.Unlocking, "form": w.Checking, "form-done": w.FormOpen, "files": w.Decrypting,
		"files-done": w.FilesDone, "bytes": w.FilesProgress, "retry": w.Retry, "still": w.RetryAt, "final": w.RetryFinal,
		"filled": w.Filled, "percent": w.Percent, "left": w.MinutesLeft,
	}
}
