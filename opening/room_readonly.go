package opening

// Behind reports whether somebody has seen a larger log than this room holds: then it was restored from an old backup,
// and going on would fork the log. A room that signs nothing it has not made durable first is never behind otherwise.
func (r *Room) Behind(seen uint64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return seen > r.log.Size()
}

// ReadOnly makes the room refuse everything from now on, with [CodeReadOnly]: it is called instead of [Room.Run].
func (r *Room) ReadOnly(detail string) {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	r.inbox.closed = &Refusal{Code: CodeReadOnly, Detail: detail}
}
