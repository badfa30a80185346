package iptables

import "strings"

// word is one argument of a rule line and the column of its first byte.
type word struct {
	text string
	col  int
}

// split cuts a line into words as iptables-restore does: blanks separate; a double quote starts a part in which
// blanks stand for themselves and a backslash takes the next byte as it is, and the closing quote ends the word.
// Outside of quotes a backslash or a single quote is an ordinary byte. col is the column of line[0].
func split(line string, col int) ([]word, *fault) {
	var words []word
	var buf strings.Builder
	start := -1
	end := func() {
		words = append(words, word{buf.String(), col + start})
		buf.Reset()
		start = -1
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"':
			if start < 0 {
				start = i
			}
			open := i
			closed := false
			for i++; i < len(line) && !closed; i++ {
				switch {
				case line[i] == '"':
					closed = true
				case line[i] == '\\' && i+1 < len(line):
					i++
					buf.WriteByte(line[i])
				default:
					buf.WriteByte(line[i])
				}
			}
			if !closed {
				return nil, faultf(col+open, "the quote that opens here is never closed")
			}
			i--
			end()
		case c == ' ' || c == '\t':
			if start >= 0 {
				end()
			}
		default:
			if start < 0 {
				start = i
			}
			buf.WriteByte(c)
		}
	}
	if start >= 0 {
		end()
	}
	return words, nil
}
