package router

// SetCommand runs one line of ipset's language, without the word ipset: "add deny 192.0.2.1 timeout 60". An error changes
// nothing.
func (r *Router) SetCommand(line string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shared.SetCommand(line, r.Time())
}

// SaveSets is what "ipset save" prints.
func (r *Router) SaveSets() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.shared.SaveSets(nil, r.Time()))
}
