package dns

import (
	"encoding/binary"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	plainUDP   = 512  // bytes of an answer for who does not say more (RFC 1035 4.2.1)
	largestUDP = 1232 // bytes of an answer at most: what passes everywhere without fragments
	maxChase   = 8    // aliases in a row
)

// Datagram answers one question over UDP; nil for what is none. used is all of it.
func (z *Zone) Datagram(b []byte) (answer []byte, used int) { return z.answer(b, false), len(b) }

// Stream answers the first question of what a TCP connection has said so far; used 0 says that it is not complete yet
// (RFC 1035 4.2.2).
func (z *Zone) Stream(b []byte) (answer []byte, used int) {
	if len(b) < 2 {
		return nil, 0
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, 0
	}
	if a := z.answer(b[2:2+n], true); a != nil {
		answer = append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)
	}
	return answer, 2 + n
}

func (z *Zone) answer(b []byte, tcp bool) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{
		ID: h.ID, Response: true, OpCode: h.OpCode, Authoritative: true,
		RecursionDesired: h.RecursionDesired, RecursionAvailable: true, // for stub resolvers it is the end of the line
	}}
	q, err := p.Question()
	most := plainUDP
	switch {
	case h.OpCode != 0:
		m.RCode = dnsmessage.RCodeNotImplemented
	case err != nil:
		m.RCode = dnsmessage.RCodeFormatError
	case q.Class != dnsmessage.ClassINET && q.Class != dnsmessage.ClassANY:
		m.Questions = []dnsmessage.Question{q}
		m.RCode = dnsmessage.RCodeRefused
	default:
		m.Questions = []dnsmessage.Question{q}
		z.resolve(&m, q)
	}
	if size, edns := askersBuffer(&p); edns {
		most = min(max(size, plainUDP), largestUDP)
		m.Additionals = append(m.Additionals, opt())
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	if !tcp && len(out) > most {
		m.Truncated, m.Answers, m.Authorities = true, nil, nil
		out, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return out
}

// resolve follows aliases and fills in the answer, or the SOA that says there is none (RFC 2308 3).
func (z *Zone) resolve(m *dnsmessage.Message, q dnsmessage.Question) {
	name := q.Name
	for range maxChase {
		key := strings.ToLower(name.String())
		found, exists := z.find(key, q.Type)
		if len(found) == 0 && q.Type != dnsmessage.TypeCNAME {
			if alias, _ := z.find(key, dnsmessage.TypeCNAME); len(alias) > 0 {
				m.Answers = append(m.Answers, resource(name, alias[0]))
				name = alias[0].body.(*dnsmessage.CNAMEResource).CNAME
				continue
			}
		}
		for _, r := range found {
			m.Answers = append(m.Answers, resource(name, r))
		}
		if !exists {
			m.RCode = dnsmessage.RCodeNameError
		}
		if len(found) == 0 {
			m.Authorities = append(m.Authorities, z.soa())
		}
		return
	}
	m.RCode = dnsmessage.RCodeServerFailure // aliases in a circle
}

func resource(name dnsmessage.Name, r record) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: r.ttl}, Body: r.body}
}

func (z *Zone) soa() dnsmessage.Resource {
	name := dnsmessage.MustNewName(z.domain)
	return resource(name, record{defaultTTL, &dnsmessage.SOAResource{
		NS: name, MBox: name, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, MinTTL: defaultTTL}})
}

// askersBuffer reads from EDNS how much the asker takes over UDP.
func askersBuffer(p *dnsmessage.Parser) (size int, edns bool) {
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return 0, false
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return 0, false
		}
		if h.Type == dnsmessage.TypeOPT {
			return int(h.Class), true
		}
		if p.SkipAdditional() != nil {
			return 0, false
		}
	}
}

func opt() dnsmessage.Resource {
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(largestUDP, dnsmessage.RCodeSuccess, false); err != nil {
		panic("dns: EDNS: " + err.Error())
	}
	return dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}}
}
