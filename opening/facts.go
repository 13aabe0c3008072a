package opening

import "slices"

// AsksFacts reports whether every bid has a section with facts about the sealing machine: whether a supervisor has an
// encryption certificate.
func (t *Terms) AsksFacts() bool {
	return slices.ContainsFunc(t.Parties, func(p Party) bool { return p.Role == Supervisor && len(p.Encryption) > 0 })
}
