package workloads

// first keeps account of the workloads of the namespaces that go first.
type first struct {
	// found counts them, left those that have not moved.
	found, left int
	// isRestBegun says that a workload of the rest has been restarted for the wanted revision: the check was passed.
	isRestBegun bool
}

// note takes account of a candidate that can be moved, after it was sorted.
func (p *planner) note(c *candidate, hasMoved bool) {
	switch {
	case c.isGone() || c.reasonToSkip() != "":
	case c.isFirst:
		p.found++
		if !hasMoved {
			p.left++
		}
	case c.wasRestarted():
		p.isRestBegun = true
	}
}

// held says why a workload waits for others, empty if it need not.
func (p *planner) held(c *candidate) string {
	switch {
	case c.isFirst || p.found == 0:
		return ""
	case p.left > 0:
		return "waits for the first namespaces"
	case p.request.Checked || p.isRestBegun:
		return ""
	}
	p.Check = p.Failed == ""
	return "waits until the first namespaces are checked"
}
