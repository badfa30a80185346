package fib

// find is FIB.find over the Builder's own tables, for checking what is being added: in one table, or with only 0 by the
// rules. It probes every prefix length; the tests hold the fast way against it.
func (s *state) find(k *Key, how finder, only uint32) *route {
	f := fam(k.V6)
	if only != 0 {
		tables := []uint32{only}
		if f == 0 && only == TableMain && !s.touched[f] {
			tables = []uint32{TableLocal, TableMain}
		}
		r, _ := s.findIn(k, how, tables)
		return r
	}
	for _, rule := range s.inForce(f) {
		rl := *rule
		rl.resolve(s)
		tables := []uint32{rl.table}
		if f == 0 && !s.touched[f] {
			switch rl.table {
			case TableLocal:
				continue
			case TableMain:
				tables = []uint32{TableLocal, TableMain}
			}
		}
		if !rl.matches(k) {
			continue
		}
		if rl.action != actTable {
			return nil
		}
		r, bits := s.findIn(k, how, tables)
		if r == nil || r.typ == Throw || bits <= rl.suppress && !r.reject() {
			continue
		}
		return r
	}
	return nil
}

func (s *state) findIn(k *Key, how finder, tables []uint32) (*route, int) {
	dst := k.dst()
	for bits := dst.BitLen(); bits >= 0; bits-- {
		p, _ := dst.Prefix(bits)
		var list []*route
		for _, id := range tables {
			list = append(list, s.routes[fam(k.V6)][id][p]...)
		}
		if len(list) == 0 {
			continue
		}
		n := node{bits: bits}
		for _, r := range list {
			n.hops = append(n.hops, hop{res: Result{Type: r.typ, Dev: r.dev}, metric: r.metric, tos: r.tos, scope: r.scope})
		}
		if h := n.pick(k, how); h != nil {
			for i := range n.hops {
				if h == &n.hops[i] {
					return list[i], bits
				}
			}
		}
	}
	return nil, 0
}
