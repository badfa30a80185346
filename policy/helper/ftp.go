package helper

import (
	"sync"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// lines is where lines begin in an FTP control connection: behind the last newlines of each direction. Only there is a
// command a command; elsewhere it is a file's contents, or an attack. What the first segment of a direction says is
// not known to begin a line, and counts for nothing.
type lines struct {
	mu    sync.Mutex
	after [2][2]uint32
	n     [2]int
}

func (l *lines) begins(d conntrack.Dir, seq uint32) bool {
	for _, s := range l.after[d][:l.n[d]] {
		if s == seq {
			return true
		}
	}
	return false
}

// note remembers one more, in the place of the older of two unless that is newer.
func (l *lines) note(d conntrack.Dir, seq uint32) {
	if l.begins(d, seq) {
		return
	}
	a := &l.after[d]
	if l.n[d] < len(a) {
		a[l.n[d]] = seq
		l.n[d]++
		return
	}
	oldest := 1
	if int32(a[0]-a[1]) < 0 {
		oldest = 0
	}
	if int32(seq-a[oldest]) > 0 {
		a[oldest] = seq
	}
}

// ftp is nf_conntrack_ftp and nf_nat_ftp.
func ftp(k *call) complaint {
	if !k.both() {
		return ""
	}
	k.p.Linearize()
	off, ok := k.p.PayloadOff()
	if !ok || off >= len(k.p.Data) {
		return ""
	}
	b := k.p.Data[off:]
	h, _ := k.p.TCP()
	seq, d := h.SequenceNumber(), k.ref.Info.Dir()
	end, newline := seq+uint32(len(b)), b[len(b)-1] == '\n'

	l := k.c.HelperData().(*lines)
	l.mu.Lock()
	defer l.mu.Unlock()
	var why complaint
	if l.begins(d, seq) {
		c := command{v6: k.p.V6, addr: k.c.Tuple(d).Src}
		f, pat, at, n := readLine(d, b, &c)
		switch {
		case f == partial: // it will come again, whole: what ends here is no line
			return "partial matching of `" + pat.word + "'"
		case f == whole && c.addr == k.c.Tuple(d).Src: // another's address: not with our help
			why = k.ftpExpect(&c, pat, off+at, n)
		}
	}
	if newline {
		l.note(d, end)
	}
	return why
}

// ftpExpect enters what a command announced in the n bytes at off, and has them name the translated address and port.
func (k *call) ftpExpect(c *command, pat *pattern, off, n int) complaint {
	d := k.ref.Info.Dir()
	back := k.c.Tuple(d.Other())
	e := k.expectation(back.Src, back.Dst, packet.ProtoTCP, c.port)
	if !k.translated() {
		return k.enter(e)
	}
	port := k.enterTranslated(e, d.Other())
	if port == 0 {
		return allPortsInUse
	}
	var buf [80]byte
	return k.rewrite(e, off, n, pat.write(buf[:0], back.Dst.Wire(k.p.V6), port))
}
